//! The datagrams of one client: received ones, and how to reply.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::io;
use std::task::{Context, Poll, Waker};

/// Most datagrams that wait for a session; further ones are lost, as in a full socket.
const MOST: usize = 128;

/// The same in bytes.
const MOST_BYTES: usize = 256 << 10;

/// Takes a datagram that a session has not taken.
pub(crate) type Unclaimed = Box<dyn Fn(Vec<u8>)>;

/// Sends a datagram to the client of a session.
pub trait Reply {
    /// Ready when it was handed to the kernel; the result is its length.
    fn poll_send(&self, cx: &mut Context<'_>, datagram: &[u8]) -> Poll<io::Result<usize>>;

    /// Takes the buffer of a datagram back that came from there.
    fn take_back(&self, buffer: Vec<u8>);
}

/// The datagrams of one client, identified by its address and port.
pub struct Datagrams {
    waiting: RefCell<VecDeque<Vec<u8>>>,
    bytes: Cell<usize>,
    pass_on: RefCell<Option<Unclaimed>>,
    waker: RefCell<Option<Waker>>,
    reply: Box<dyn Reply>,
    closed: Cell<bool>,
}

impl Datagrams {
    /// A client whose answers go through `reply`.
    pub fn new(reply: Box<dyn Reply>) -> Datagrams {
        Datagrams {
            waiting: RefCell::default(),
            bytes: Cell::new(0),
            pass_on: RefCell::default(),
            waker: RefCell::default(),
            reply,
            closed: Cell::new(false),
        }
    }

    /// A datagram was received from the client.
    pub fn push(&self, datagram: Vec<u8>) {
        let mut waiting = self.waiting.borrow_mut();
        if waiting.len() < MOST && self.bytes.get() + datagram.len() <= MOST_BYTES {
            self.bytes.set(self.bytes.get() + datagram.len());
            waiting.push_back(datagram);
        }
        if let Some(waker) = self.waker.borrow_mut().take() {
            waker.wake();
        }
    }

    /// Sets the receiver of datagrams that the session leaves when it stops reading.
    pub fn set_pass_on(&self, pass_on: Unclaimed) {
        self.pass_on.replace(Some(pass_on));
    }

    /// The session takes no more: what has come and was not taken begins another, and so does what the client sends from now on.
    pub fn close(&self) {
        self.closed.set(true);
        let (waiting, pass_on) = (self.waiting.take(), self.pass_on.take());
        self.bytes.set(0);
        if let Some(pass_on) = pass_on {
            waiting.into_iter().for_each(pass_on);
        }
    }

    /// Whether that is so.
    pub fn is_closed(&self) -> bool {
        self.closed.get()
    }

    /// Appends the next one to `into`; ready with its length.
    pub fn poll_next(&self, cx: &mut Context<'_>, into: &mut Vec<u8>) -> Poll<usize> {
        if let Some(datagram) = self.waiting.borrow_mut().pop_front() {
            let length = datagram.len();
            self.bytes.set(self.bytes.get().saturating_sub(length));
            into.extend_from_slice(&datagram);
            self.reply.take_back(datagram);
            return Poll::Ready(length);
        }
        *self.waker.borrow_mut() = Some(cx.waker().clone());
        Poll::Pending
    }

    /// Sends one to the client.
    ///
    /// # Errors
    /// Those of sendto(2).
    pub fn poll_send(&self, cx: &mut Context<'_>, datagram: &[u8]) -> Poll<io::Result<usize>> {
        self.reply.poll_send(cx, datagram)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::rc::Rc;

    /// Sends everything at once and counts the buffers that come back.
    struct Sink(Rc<Cell<usize>>);

    impl Reply for Sink {
        fn poll_send(&self, _: &mut Context<'_>, datagram: &[u8]) -> Poll<io::Result<usize>> {
            Poll::Ready(Ok(datagram.len()))
        }

        fn take_back(&self, _: Vec<u8>) {
            self.0.set(self.0.get() + 1);
        }
    }

    fn take(datagrams: &Datagrams) -> Vec<Vec<u8>> {
        let mut cx = Context::from_waker(Waker::noop());
        let mut all = Vec::new();
        let mut next = Vec::new();
        while let Poll::Ready(length) = datagrams.poll_next(&mut cx, &mut next) {
            assert_eq!(next.len(), length);
            all.push(std::mem::take(&mut next));
        }
        all
    }

    #[test]
    fn what_is_too_much_is_lost() {
        for (sent, size, kept) in [(3, 1, 3), (MOST, 1, MOST), (MOST + 5, 1, MOST), (8, MOST_BYTES / 4, 4), (1, MOST_BYTES + 1, 0)] {
            let taken = Rc::new(Cell::new(0));
            let datagrams = Datagrams::new(Box::new(Sink(taken.clone())));
            (0..sent).for_each(|_| datagrams.push(vec![b'x'; size]));
            assert_eq!((take(&datagrams).len(), taken.get()), (kept, kept), "{sent} of {size}");
            // There is room again.
            datagrams.push(b"next".to_vec());
            assert_eq!(take(&datagrams), [b"next"]);
        }
    }

    #[test]
    fn what_a_session_leaves_begins_another() {
        for is_set in [true, false] {
            let datagrams = Datagrams::new(Box::new(Sink(Rc::default())));
            let passed: Rc<RefCell<Vec<Vec<u8>>>> = Rc::default();
            if is_set {
                let to = passed.clone();
                datagrams.set_pass_on(Box::new(move |datagram| to.borrow_mut().push(datagram)));
            }
            datagrams.push(b"a".to_vec());
            datagrams.push(b"b".to_vec());
            assert!(!datagrams.is_closed());
            datagrams.close();
            assert!(datagrams.is_closed() && take(&datagrams).is_empty());
            assert_eq!(passed.borrow().concat(), if is_set { &b"ab"[..] } else { b"" });
        }
    }
}
