//! Output that waits for the client: what a turn of the code says leaves in one write at its end, and what the client does not take
//! then leaves while the code waits for something else.

use base::log::Level;
use lua_lib::socket::settings::SocketOptions;
use net::deadline::Limit;
use std::cell::{Cell, RefCell};
use std::fmt;
use std::io;
use std::task::{Context, Poll, Waker};
use stream::{Session, log_session};

/// From so many bytes on output does not wait for the end of the turn.
const MUCH: usize = 64 << 10;

/// Why nothing can be sent any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SendError {
    /// The client took nothing for too long (`lua_socket_send_timeout`).
    TimedOut,
    /// The connection is gone.
    Lost,
}

impl fmt::Display for SendError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            SendError::TimedOut => "client send timed out",
            SendError::Lost => "client connection lost",
        })
    }
}

impl std::error::Error for SendError {}

/// The output of one session.
#[derive(Default)]
pub(crate) struct PendingOutput {
    bytes: RefCell<Vec<u8>>,
    sent: Cell<usize>,
    broken: Cell<Option<SendError>>,
    limit: RefCell<Option<Limit>>,
    /// Threads that wait until everything has left.
    wakers: RefCell<Vec<Waker>>,
}

impl PendingOutput {
    /// Appends what `push` pushes.
    pub(crate) fn add(&self, session: &Session, push: impl FnOnce(&mut Vec<u8>)) {
        let mut bytes = self.bytes.borrow_mut();
        push(&mut bytes);
        let much = bytes.len() - self.sent.get().min(bytes.len()) >= MUCH;
        drop(bytes);
        if much {
            self.try_send(session);
        }
    }

    /// Whether everything has left.
    pub(crate) fn is_empty(&self) -> bool {
        self.bytes.borrow().is_empty()
    }

    /// Why nothing can be sent any more.
    pub(crate) fn broken(&self) -> Option<SendError> {
        self.broken.get()
    }

    /// Sends what the client takes at once.
    pub(crate) fn try_send(&self, session: &Session) {
        let mut bytes = self.bytes.borrow_mut();
        while let Some(rest) = bytes.get(self.sent.get()..).filter(|rest| !rest.is_empty()) {
            match session.try_write(rest) {
                Ok(count) if count > 0 => self.sent.set(self.sent.get() + count),
                // Whoever drives the code waits for the rest.
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                Ok(_) => self.fail(session, SendError::Lost, &io::ErrorKind::WriteZero.into(), &mut bytes),
                Err(error) => self.fail(session, SendError::Lost, &error, &mut bytes),
            }
        }
        drop(bytes);
        self.emptied();
    }

    /// Sends; ready when nothing is left, also because nothing can be sent any more.
    pub(crate) fn poll_send(&self, session: &Session, cx: &mut Context<'_>) -> Poll<()> {
        let mut bytes = self.bytes.borrow_mut();
        while let Some(rest) = bytes.get(self.sent.get()..).filter(|rest| !rest.is_empty()) {
            match session.poll_write(cx, rest) {
                Poll::Ready(Ok(count)) if count > 0 => {
                    self.sent.set(self.sent.get() + count);
                    self.limit.take();
                }
                Poll::Ready(Ok(_)) => self.fail(session, SendError::Lost, &io::ErrorKind::WriteZero.into(), &mut bytes),
                Poll::Ready(Err(error)) => self.fail(session, SendError::Lost, &error, &mut bytes),
                Poll::Pending => {
                    let mut limit = self.limit.borrow_mut();
                    let limit = limit.get_or_insert_with(|| session.limit(send_timeout(session)));
                    if limit.poll(cx).is_pending() {
                        return Poll::Pending;
                    }
                    log_session!(session, Level::Info, "client timed out (110: Connection timed out)");
                    self.broken.set(Some(SendError::TimedOut));
                    bytes.clear();
                }
            }
        }
        drop(bytes);
        self.emptied();
        Poll::Ready(())
    }

    /// Nothing is left: wakes those who wait for that.
    fn emptied(&self) {
        self.bytes.borrow_mut().clear();
        self.sent.set(0);
        self.limit.take();
        for waker in self.wakers.take() {
            waker.wake();
        }
    }

    fn fail(&self, session: &Session, broken: SendError, error: &io::Error, bytes: &mut Vec<u8>) {
        log_session!(session, Level::Info, "send() failed {}", base::errno::describe(error));
        self.broken.set(Some(broken));
        bytes.clear();
    }

    /// Ready when everything was sent; another task sends it.
    pub(crate) fn poll_empty(&self, cx: &Context<'_>) -> Poll<()> {
        if self.is_empty() {
            return Poll::Ready(());
        }
        self.wakers.borrow_mut().push(cx.waker().clone());
        Poll::Pending
    }
}

/// How long the client may take nothing, milliseconds.
fn send_timeout(session: &Session) -> u64 {
    session.conf::<SocketOptions>().send_timeout.unwrap_or(60_000)
}
