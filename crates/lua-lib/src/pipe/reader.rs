//! A pipe that the worker reads: a program's standard output or standard error.

use lua::{Reply, Value};
use std::cell::{Cell, RefCell};
use std::io;
use std::rc::Rc;
use std::time::Duration;
use tokio::net::unix::pipe::Receiver;
use tokio::sync::Notify;

/// What one read wants.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReadPattern {
    /// All up to the end.
    All,
    /// Exactly so many bytes.
    Bytes(usize),
    /// A line without its end.
    Line,
    /// Whatever there is, up to so many bytes.
    Any(usize),
}

/// Bytes that a pipe can hold at most, by default (pipe(7): `/proc/sys/fs/pipe-max-size`).
const MOST_LEFT: usize = 1 << 20;

/// The reading end.
pub struct PipeReader {
    end: RefCell<Option<Rc<Receiver>>>,
    /// Data that was read and not delivered yet.
    buffered: RefCell<Vec<u8>>,
    /// How much is read at once, in bytes.
    step: usize,
    eof: Cell<bool>,
    busy: Cell<bool>,
    closing: Cell<&'static str>,
    notify: Notify,
}

/// Most bytes that are read at once, however large `buffer_size` is.
const LARGEST_STEP: usize = 1 << 20;

/// Marks an inlet as in use while it lives.
struct Busy<'a>(&'a Cell<bool>);

impl Drop for Busy<'_> {
    fn drop(&mut self) {
        self.0.set(false);
    }
}

impl PipeReader {
    /// An open one.
    pub fn new(end: Receiver, step: usize) -> PipeReader {
        PipeReader {
            end: RefCell::new(Some(Rc::new(end))),
            buffered: RefCell::default(),
            step: step.min(LARGEST_STEP),
            eof: Cell::new(false),
            busy: Cell::new(false),
            closing: Cell::new(""),
            notify: Notify::new(),
        }
    }

    /// Closes it; a pending read fails with `reason`.
    pub fn close(&self, reason: &'static str) {
        self.closing.set(reason);
        self.end.take();
        self.notify.notify_waiters();
    }

    /// Closes it because the program has ended. What it has left in the pipe belongs to who reads now, also when the event
    /// loop has yet to hear of it.
    pub fn finish(&self) {
        if let (true, Some(end)) = (self.busy.get(), &*self.end.borrow()) {
            let mut rest = self.buffered.borrow_mut();
            for _ in 0..MOST_LEFT.div_ceil(self.step.max(1)) {
                match sys::descriptor::read_into(&**end, &mut rest, self.step) {
                    Ok(0) => {
                        self.eof.set(true);
                        break;
                    }
                    Ok(_) => {}
                    // Nothing more now; a child of the program may have the other end still.
                    Err(_) => break,
                }
            }
        }
        self.close("closed");
    }

    /// Why no read can begin.
    pub fn refusal(&self) -> Option<&'static str> {
        if self.end.borrow().is_none() {
            return Some("closed");
        }
        self.busy.get().then_some("pipe busy reading")
    }

    /// Reads; a time limit counts from the last byte that came.
    pub async fn read(&self, want: ReadPattern, limit: Option<Duration>) -> Reply {
        self.busy.set(true);
        let _busy = Busy(&self.busy);
        loop {
            if let Some(data) = take(&mut self.buffered.borrow_mut(), want, self.eof.get()) {
                return Reply::One(data.into());
            }
            let Some(end) = self.end.borrow().clone() else { return self.partial(self.closing.get()) };
            if self.eof.get() {
                return self.partial("closed");
            }
            match self.fetch(&end) {
                Ok(0) => self.eof.set(true),
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    let closed = self.notify.notified();
                    tokio::select! {
                        biased;
                        () = closed => {}
                        ready = end.readable() => if let Err(error) = ready {
                            return self.partial_owned(error.to_string());
                        },
                        () = super::writer::after(limit) => return self.partial("timeout"),
                    }
                }
                Err(error) => return self.partial_owned(error.to_string()),
            }
        }
    }

    fn fetch(&self, end: &Receiver) -> io::Result<usize> {
        let mut rest = self.buffered.borrow_mut();
        rest.reserve(self.step);
        end.try_read_buf(&mut *rest)
    }

    fn partial(&self, error: &'static str) -> Reply {
        Reply::Many(vec![Value::Nil, error.into(), self.buffered.take().into()])
    }

    fn partial_owned(&self, error: String) -> Reply {
        Reply::Many(vec![Value::Nil, error.into_bytes().into(), self.buffered.take().into()])
    }
}

/// Takes what is wanted from the bytes at hand, if it is all there.
fn take(rest: &mut Vec<u8>, want: ReadPattern, eof: bool) -> Option<Vec<u8>> {
    match want {
        ReadPattern::All => eof.then(|| std::mem::take(rest)),
        ReadPattern::Bytes(count) => (rest.len() >= count).then(|| rest.drain(..count).collect()),
        ReadPattern::Any(max) => (!rest.is_empty()).then(|| rest.drain(..max.min(rest.len())).collect()),
        ReadPattern::Line => {
            let end = memchr::memchr(b'\n', rest)?;
            let mut line: Vec<u8> = rest.drain(..=end).collect();
            line.pop();
            line.retain(|byte| *byte != b'\r');
            Some(line)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn taken(rest: &str, want: ReadPattern, eof: bool) -> (Option<String>, String) {
        let mut rest = rest.as_bytes().to_vec();
        let data = take(&mut rest, want, eof).map(|data| String::from_utf8(data).expect("text"));
        (data, String::from_utf8(rest).expect("text"))
    }

    #[test]
    fn each_read_takes_what_it_wants() {
        let some = |text: &str, rest: &str| (Some(text.to_owned()), rest.to_owned());
        let none = |rest: &str| (None, rest.to_owned());
        assert_eq!(taken("ab", ReadPattern::All, false), none("ab"));
        assert_eq!(taken("ab", ReadPattern::All, true), some("ab", ""));
        assert_eq!(taken("abc", ReadPattern::Bytes(2), false), some("ab", "c"));
        assert_eq!(taken("a", ReadPattern::Bytes(2), true), none("a"));
        assert_eq!(taken("a\r\nb", ReadPattern::Line, false), some("a", "b"));
        assert_eq!(taken("a", ReadPattern::Line, true), none("a"));
        assert_eq!(taken("abc", ReadPattern::Any(2), false), some("ab", "c"));
        assert_eq!(taken("", ReadPattern::Any(2), true), none(""));
    }
}
