//! A pipe that the worker writes: a program's standard input.

use lua::{Reply, Value};
use std::cell::{Cell, RefCell};
use std::io;
use std::rc::Rc;
use std::time::Duration;
use tokio::net::unix::pipe::Sender;
use tokio::sync::Notify;

/// The writing end.
pub struct PipeWriter {
    end: RefCell<Option<Rc<Sender>>>,
    busy: Cell<bool>,
    closing: Cell<&'static str>,
    notify: Notify,
}

/// Waits for so long; for ever without a limit.
pub(super) async fn after(limit: Option<Duration>) {
    match limit {
        Some(limit) => net::time::sleep(limit).await,
        None => std::future::pending().await,
    }
}

/// Marks an outlet as in use while it lives.
struct Busy<'a>(&'a Cell<bool>);

impl Drop for Busy<'_> {
    fn drop(&mut self) {
        self.0.set(false);
    }
}

impl PipeWriter {
    /// An open one.
    pub fn new(end: Sender) -> PipeWriter {
        PipeWriter { end: RefCell::new(Some(Rc::new(end))), busy: Cell::new(false), closing: Cell::new(""), notify: Notify::new() }
    }

    /// Closes it; a pending write fails with `reason`.
    pub fn close(&self, reason: &'static str) {
        self.closing.set(reason);
        self.end.take();
        self.notify.notify_waiters();
    }

    /// Why no write can begin.
    pub fn refusal(&self) -> Option<&'static str> {
        if self.end.borrow().is_none() {
            return Some("closed");
        }
        self.busy.get().then_some("pipe busy writing")
    }

    /// Writes all; a time limit counts from the last byte that went.
    pub async fn write(&self, data: &[u8], limit: Option<Duration>) -> Reply {
        self.busy.set(true);
        let _busy = Busy(&self.busy);
        let mut done = 0;
        while let Some(left) = data.get(done..).filter(|left| !left.is_empty()) {
            let Some(end) = self.end.borrow().clone() else { return Reply::failure(self.closing.get()) };
            match end.try_write(left) {
                Ok(count) => done += count,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    let closed = self.notify.notified();
                    tokio::select! {
                        biased;
                        () = closed => {}
                        ready = end.writable() => if let Err(error) = ready {
                            return Reply::Two(Value::Nil, error.to_string().into_bytes().into());
                        },
                        () = after(limit) => return Reply::failure("timeout"),
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::BrokenPipe => return Reply::failure("closed"),
                Err(error) => return Reply::Two(Value::Nil, error.to_string().into_bytes().into()),
            }
        }
        Reply::One(Value::Number(data.len() as f64))
    }
}
