//! The datagrams of one client: received ones, and how to reply.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::io;
use std::task::{Context, Poll, Waker};

/// Most datagrams that wait for a session; further ones are lost, as in a full socket.
const MOST: usize = 128;

/// The same in bytes.
const MOST_BYTES: usize = 256 << 10;

/// Where the datagrams of a session come from and go to.
pub trait Reply {
    /// Ready when it was handed to the kernel; the result is its length.
    fn poll_send(&self, cx: &mut Context<'_>, datagram: &[u8]) -> Poll<io::Result<usize>>;

    /// Takes the buffer of a datagram back that came from there.
    fn take_back(&self, buffer: Vec<u8>);

    /// Takes a datagram that the session has left when it stopped reading.
    fn pass_on(&self, datagram: Vec<u8>);
}

/// The datagrams of one client, identified by its address and port.
pub struct Datagrams {
    waiting: RefCell<VecDeque<Vec<u8>>>,
    bytes: Cell<usize>,
    waker: RefCell<Option<Waker>>,
    reply: Box<dyn Reply>,
    closed: Cell<bool>,
}

impl Datagrams {
    /// A client whose answers go through `reply`.
    pub fn new(reply: Box<dyn Reply>) -> Datagrams {
        Datagrams { waiting: RefCell::default(), bytes: Cell::new(0), waker: RefCell::default(), reply, closed: Cell::new(false) }
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

    /// The session takes no more: what has come and was not taken begins another, and so does what the client sends from now on.
    pub fn close(&self) {
        self.closed.set(true);
        self.bytes.set(0);
        let waiting = self.waiting.take();
        waiting.into_iter().for_each(|datagram| self.reply.pass_on(datagram));
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

    /// Sends everything at once, counts the buffers that come back and keeps what is passed on.
    #[derive(Clone, Default)]
    struct Sink(Rc<Cell<usize>>, Rc<RefCell<Vec<u8>>>);

    impl Reply for Sink {
        fn poll_send(&self, _: &mut Context<'_>, datagram: &[u8]) -> Poll<io::Result<usize>> {
            Poll::Ready(Ok(datagram.len()))
        }

        fn take_back(&self, _: Vec<u8>) {
            self.0.set(self.0.get() + 1);
        }

        fn pass_on(&self, datagram: Vec<u8>) {
            self.1.borrow_mut().extend(datagram);
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
            let sink = Sink::default();
            let datagrams = Datagrams::new(Box::new(sink.clone()));
            (0..sent).for_each(|_| datagrams.push(vec![b'x'; size]));
            assert_eq!((take(&datagrams).len(), sink.0.get()), (kept, kept), "{sent} of {size}");
            // There is room again.
            datagrams.push(b"next".to_vec());
            assert_eq!(take(&datagrams), [b"next"]);
        }
    }

    #[test]
    fn what_a_session_leaves_begins_another() {
        let sink = Sink::default();
        let datagrams = Datagrams::new(Box::new(sink.clone()));
        datagrams.push(b"a".to_vec());
        datagrams.push(b"b".to_vec());
        assert!(!datagrams.is_closed());
        for _ in 0..2 {
            datagrams.close();
            assert!(datagrams.is_closed() && take(&datagrams).is_empty());
            assert_eq!(*sink.1.borrow(), b"ab", "once");
        }
    }
}
