//! A log file with its buffer.

use base::log::LogFile;
use flate2::Compression;
use flate2::write::GzEncoder;
use session::log_files::ReopenableLog;
use std::cell::{Cell, RefCell};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::Duration;

/// `buffer=` and `flush=`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Buffering {
    /// Bytes; 0 is no buffer.
    pub(super) size: usize,
    /// Milliseconds that a line may wait; 0 is for ever.
    pub(super) flush_ms: u64,
    /// Level of compression of each write, a gzip member of its own (RFC 1952 section 2.2); 0 is none.
    pub(super) gzip: u32,
}

/// A file that every `access_log` with its path shares.
pub(super) struct AccessFile {
    path: PathBuf,
    inner: Rc<Inner>,
    buffering: Cell<Buffering>,
}

#[derive(Default)]
struct Inner {
    file: RefCell<Option<Rc<LogFile>>>,
    gathered: RefCell<Vec<u8>>,
    timer: Cell<bool>,
    gzip: Cell<u32>,
}

impl Inner {
    fn write(&self, bytes: &[u8]) -> io::Result<()> {
        match (&*self.file.borrow(), self.gzip.get()) {
            (Some(file), 0) if !bytes.is_empty() => file.append(bytes),
            (Some(file), level) if !bytes.is_empty() => {
                let mut encoder = GzEncoder::new(Vec::new(), Compression::new(level));
                encoder.write_all(bytes)?;
                file.append(&encoder.finish()?)
            }
            _ => Ok(()),
        }
    }

    fn flush(&self) -> io::Result<()> {
        let mut gathered = self.gathered.borrow_mut();
        let result = self.write(&gathered);
        gathered.clear();
        result
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        // The process goes on without this configuration; nobody is left to hear of an error.
        let _ = self.flush();
    }
}

impl AccessFile {
    pub(super) fn new(path: PathBuf) -> AccessFile {
        AccessFile { path, inner: Rc::default(), buffering: Cell::default() }
    }

    pub(super) fn path_text(&self) -> String {
        self.path.display().to_string()
    }

    /// Sets the buffer; false if it has another one already.
    pub(super) fn buffer(&self, buffering: Buffering) -> bool {
        let old = self.buffering.replace(buffering);
        self.inner.gzip.set(buffering.gzip);
        old.size == 0 || old == buffering
    }

    /// Writes a line, or keeps it until the buffer is full or its time has come.
    pub(super) fn append(&self, line: &[u8]) -> io::Result<()> {
        let Buffering { size, flush_ms, .. } = self.buffering.get();
        if size == 0 {
            return self.inner.write(line);
        }
        let mut result = Ok(());
        if self.inner.gathered.borrow().len() + line.len() > size {
            result = self.inner.flush();
        }
        if line.len() > size {
            return result.and(self.inner.write(line));
        }
        self.inner.gathered.borrow_mut().extend_from_slice(line);
        if flush_ms > 0 && !self.inner.timer.replace(true) {
            let inner = Rc::downgrade(&self.inner);
            tokio::task::spawn_local(async move {
                net::time::sleep(Duration::from_millis(flush_ms)).await;
                if let Some(inner) = inner.upgrade() {
                    inner.timer.set(false);
                    // The next line that fails is reported by its request.
                    let _ = inner.flush();
                }
            });
        }
        result
    }
}

impl ReopenableLog for AccessFile {
    fn path(&self) -> &Path {
        &self.path
    }

    fn open(&self) -> io::Result<()> {
        if self.inner.file.borrow().is_none() {
            let file = LogFile::open(&self.path)?;
            self.inner.file.replace(Some(file));
        }
        Ok(())
    }

    fn reopen(&self) -> io::Result<()> {
        let _ = self.inner.flush();
        match &*self.inner.file.borrow() {
            Some(file) => file.reopen(),
            None => Ok(()),
        }
    }

    fn flush(&self) {
        let _ = self.inner.flush();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_wait_in_the_buffer() {
        let path = std::env::temp_dir().join(format!("lunette-access-{}.log", std::process::id()));
        let file = AccessFile::new(path.clone());
        file.open().unwrap();
        assert!(file.buffer(Buffering { size: 8, ..Buffering::default() }));
        assert!(!file.buffer(Buffering { size: 16, ..Buffering::default() }));
        file.buffering.set(Buffering { size: 8, ..Buffering::default() });
        file.append(b"one\n").unwrap();
        file.append(b"two\n").unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"");
        file.append(b"3\n").unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"one\ntwo\n");
        file.append(b"longer than all\n").unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"one\ntwo\n3\nlonger than all\n");
        file.append(b"x\n").unwrap();
        drop(file);
        assert!(std::fs::read(&path).unwrap().ends_with(b"all\nx\n"));
        std::fs::remove_file(&path).unwrap();
    }

    #[test]
    fn compressed_logs_can_be_read_back() {
        use std::io::Read;
        let path = std::env::temp_dir().join(format!("lunette-access-{}.gz", std::process::id()));
        let file = AccessFile::new(path.clone());
        file.open().unwrap();
        assert!(file.buffer(Buffering { size: 8, flush_ms: 0, gzip: 1 }));
        for _ in 0..3 {
            file.append(b"line\n").unwrap();
        }
        file.flush();
        let mut text = String::new();
        flate2::read::MultiGzDecoder::new(std::fs::File::open(&path).unwrap()).read_to_string(&mut text).unwrap();
        assert_eq!(text, "line\nline\nline\n");
        std::fs::remove_file(&path).unwrap();
    }
}
