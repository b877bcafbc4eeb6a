//! A file that log lines are appended to. What it cannot take at once is lost and never stops the process.
//!
//! A pipe or terminal does not block: without room, `append` says so, and its caller counts what was dropped. No system call
//! tells beforehand that a disk will take its time. So once a write has been slow, a thread of its own does the
//! writing until writes have been quick for a while, and what does not fit into its queue is dropped.

use crate::clock;
use std::cell::{Cell, RefCell};
use std::fs::{File, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// open(2), on Linux.
const O_NONBLOCK: i32 = 0o4000;

/// A write that takes so long must not happen again on the event loop.
const SLOW: Duration = Duration::from_millis(100);

/// For so long writes must have been quick before the thread ends.
const CALM: Duration = Duration::from_secs(10);

/// Most bytes that wait for a slow disk.
const QUEUE: usize = 1 << 20;

/// A file that log lines are appended to and that `reopen` can replace.
#[derive(Debug)]
pub struct LogFile {
    path: PathBuf,
    file: RefCell<Option<Open>>,
    rests_until: Cell<u64>,
}

#[derive(Debug)]
struct Open {
    file: Arc<File>,
    /// A regular file, which is written at once or slowly; not a pipe, which may have no room.
    regular: bool,
    /// The end of a line whose beginning is in the pipe.
    torn: Vec<u8>,
    writer: Option<Writer>,
}

impl LogFile {
    /// Opens, creating it if needed, for appending.
    ///
    /// # Errors
    /// Those of `open(2)`.
    pub fn open(path: &Path) -> io::Result<Rc<Self>> {
        let file = LogFile::closed(path);
        file.reopen()?;
        Ok(file)
    }

    /// A file that a configuration names and that is not open yet: lines are lost until [`LogFile::reopen`], so that a
    /// configuration can be checked as a whole before any file is made.
    pub fn closed(path: &Path) -> Rc<Self> {
        Rc::new(LogFile { path: path.to_owned(), file: RefCell::new(None), rests_until: Cell::new(0) })
    }

    /// The path as opened.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Opens the path again, after a rename by a log rotator.
    ///
    /// # Errors
    /// Those of `open(2)`; the old file stays in use then.
    pub fn reopen(&self) -> io::Result<()> {
        let file = append(&self.path)?;
        self.file.replace(Some(file));
        Ok(())
    }

    /// Appends bytes with one system call where the kernel allows.
    ///
    /// # Errors
    /// Those of `write(2)`; for a second after `ENOSPC` nothing is tried. `WouldBlock`: there is no room, the line is lost.
    pub fn append(&self, line: &[u8]) -> io::Result<()> {
        let now = clock::monotonic_ms();
        if now < self.rests_until.get() {
            return Err(io::Error::from(ErrorKind::StorageFull));
        }
        let result = match &mut *self.file.borrow_mut() {
            Some(open) => open.append(line),
            None => Err(io::Error::from(ErrorKind::NotConnected)),
        };
        if let Err(error) = &result
            && error.kind() == ErrorKind::StorageFull
        {
            self.rests_until.set(now + 1000);
        }
        result
    }
}

fn append(path: &Path) -> io::Result<Open> {
    let mut options = OpenOptions::new();
    options.append(true).create(true).mode(0o644);
    let mut file = options.open(path)?;
    let regular = file.metadata()?.is_file();
    if !regular {
        // Only now: a pipe without a reader is waited for, as nginx does.
        file = options.custom_flags(O_NONBLOCK).open(path)?;
    }
    Ok(Open { file: Arc::new(file), regular, torn: Vec::new(), writer: None })
}

impl Open {
    fn append(&mut self, line: &[u8]) -> io::Result<()> {
        if !self.regular {
            return self.append_to_pipe(line);
        }
        if self.writer.as_ref().is_some_and(Writer::is_over) {
            self.writer = None;
        }
        if let Some(writer) = &self.writer {
            return writer.push(line);
        }
        let began = Instant::now();
        let result = (&*self.file).write_all(line);
        if began.elapsed() >= SLOW {
            // Without a thread the next write may be slow too.
            self.writer = Writer::start(self.file.clone()).ok();
        }
        result
    }

    fn append_to_pipe(&mut self, line: &[u8]) -> io::Result<()> {
        while !self.torn.is_empty() {
            let wrote = write_once(&self.file, &self.torn)?;
            self.torn.drain(..wrote);
        }
        let wrote = write_once(&self.file, line)?;
        self.torn.extend_from_slice(line.get(wrote..).unwrap_or_default());
        Ok(())
    }
}

fn write_once(mut file: &File, bytes: &[u8]) -> io::Result<usize> {
    loop {
        match file.write(bytes) {
            Ok(0) if !bytes.is_empty() => return Err(ErrorKind::WriteZero.into()),
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            other => return other,
        }
    }
}

/// A thread that writes to a slow disk.
#[derive(Debug)]
struct Writer {
    shared: Arc<Shared>,
    /// A forked child has no such thread.
    process: u32,
}

#[derive(Debug)]
struct Shared {
    queue: Mutex<Queue>,
    filled: Condvar,
}

#[derive(Debug)]
struct Queue {
    bytes: Vec<u8>,
    ended: bool,
    /// The thread is writing since then.
    writes_since: Option<Instant>,
    last_slow: Instant,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Writer {
    fn start(file: Arc<File>) -> io::Result<Writer> {
        let queue = Queue { bytes: Vec::new(), ended: false, writes_since: None, last_slow: Instant::now() };
        let shared = Arc::new(Shared { queue: Mutex::new(queue), filled: Condvar::new() });
        let theirs = shared.clone();
        std::thread::Builder::new().name("log".into()).stack_size(64 * 1024).spawn(move || write_all(&*file, &theirs))?;
        Ok(Writer { shared, process: std::process::id() })
    }

    fn push(&self, line: &[u8]) -> io::Result<()> {
        let mut queue = self.shared.lock();
        if queue.bytes.len() + line.len() > QUEUE {
            return Err(ErrorKind::WouldBlock.into());
        }
        queue.bytes.extend_from_slice(line);
        drop(queue);
        self.shared.filled.notify_one();
        Ok(())
    }

    /// The disk is quick again and has everything, or the thread is another process's.
    fn is_over(&self) -> bool {
        if self.process != std::process::id() {
            return true;
        }
        let queue = self.shared.lock();
        queue.bytes.is_empty() && queue.writes_since.is_none() && queue.last_slow.elapsed() >= CALM
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.shared.lock().ended = true;
        self.shared.filled.notify_one();
    }
}

/// The thread: writes what is queued until the writer has ended and nothing is left.
fn write_all(mut file: impl Write, shared: &Shared) {
    let mut bytes = Vec::new();
    let mut queue = shared.lock();
    loop {
        if queue.bytes.is_empty() {
            if queue.ended {
                return;
            }
            queue = shared.filled.wait(queue).unwrap_or_else(PoisonError::into_inner);
            continue;
        }
        std::mem::swap(&mut bytes, &mut queue.bytes);
        let began = Instant::now();
        queue.writes_since = Some(began);
        drop(queue);
        // A line that cannot be written is lost; the next one that is written directly tells why.
        let _ = file.write_all(&bytes);
        bytes.clear();
        queue = shared.lock();
        queue.writes_since = None;
        if began.elapsed() >= SLOW {
            queue.last_slow = Instant::now();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc;

    /// Each write waits for a word.
    struct Disk(mpsc::Receiver<()>, mpsc::Sender<Vec<u8>>);

    impl Write for Disk {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.recv().map_err(|_| io::Error::from(ErrorKind::BrokenPipe))?;
            self.1.send(bytes.to_vec()).map_err(|_| io::Error::from(ErrorKind::BrokenPipe))?;
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_slow_disk_holds_nobody_and_loses_what_has_no_room() {
        let (go, wait) = mpsc::channel();
        let (wrote, written) = mpsc::channel();
        let queue = Queue { bytes: Vec::new(), ended: false, writes_since: None, last_slow: Instant::now() };
        let shared = Arc::new(Shared { queue: Mutex::new(queue), filled: Condvar::new() });
        let theirs = shared.clone();
        let thread = std::thread::spawn(move || write_all(Disk(wait, wrote), &theirs));
        let writer = Writer { shared, process: std::process::id() };
        let line = vec![b'x'; QUEUE / 4];
        let taken = (0..20).take_while(|_| writer.push(&line).is_ok()).count();
        assert!((4..=8).contains(&taken), "{taken}");
        assert!(!writer.is_over());
        for _ in 0..20 {
            let _ = go.send(());
        }
        drop(writer);
        thread.join().unwrap();
        assert_eq!(written.iter().map(|bytes| bytes.len()).sum::<usize>(), taken * line.len());
    }

    #[test]
    fn a_full_pipe_loses_lines_and_tears_none() {
        let path = std::env::temp_dir().join(format!("lunette-fifo-{}", std::process::id()));
        assert!(std::process::Command::new("mkfifo").arg(&path).status().unwrap().success());
        let mut reader = OpenOptions::new().read(true).write(true).open(&path).unwrap();
        let file = LogFile::open(&path).unwrap();
        let line = [b"line".repeat(2000), b"\n".to_vec()].concat();
        let results: Vec<_> = (0..100).map(|_| file.append(&line)).collect();
        let kept = results.iter().filter(|result| result.is_ok()).count();
        assert!(results.iter().any(|result| result.as_ref().is_err_and(|error| error.kind() == ErrorKind::WouldBlock)));
        // The reader takes some; what was torn goes on where it stopped.
        let mut text = vec![0; 40_000];
        io::Read::read_exact(&mut reader, &mut text).unwrap();
        file.append(b"last\n").unwrap();
        drop(file);
        let rest = kept * line.len() + 5 - text.len();
        let mut end = vec![0; rest];
        io::Read::read_exact(&mut reader, &mut end).unwrap();
        text.extend(end);
        let whole = [line.repeat(kept), b"last\n".to_vec()].concat();
        assert!(text == whole);
        std::fs::remove_file(&path).unwrap();
    }
}
