//! The datagrams of one client: what came from it, and the way back.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::io;
use std::task::{Context, Poll, Waker};

/// Most datagrams that wait for a session; further ones are lost, as in a full socket.
const MOST: usize = 128;

/// Sends a datagram to the client of a session.
pub trait Reply {
    /// Ready when it was handed to the kernel; the result is its length.
    fn poll_send(&self, cx: &mut Context<'_>, datagram: &[u8]) -> Poll<io::Result<usize>>;
}

/// The datagrams of one client, who is known by its address and port.
pub struct Datagrams {
    waiting: RefCell<VecDeque<Vec<u8>>>,
    waker: RefCell<Option<Waker>>,
    reply: Box<dyn Reply>,
    closed: Cell<bool>,
}

impl Datagrams {
    /// A client whose answers go through `reply`.
    pub fn new(reply: Box<dyn Reply>) -> Datagrams {
        Datagrams { waiting: RefCell::default(), waker: RefCell::default(), reply, closed: Cell::new(false) }
    }

    /// One has come from the client.
    pub fn push(&self, datagram: Vec<u8>) {
        let mut waiting = self.waiting.borrow_mut();
        if waiting.len() < MOST {
            waiting.push_back(datagram);
        }
        if let Some(waker) = self.waker.borrow_mut().take() {
            waker.wake();
        }
    }

    /// The session takes no more: what the client sends from now on begins another.
    pub fn close(&self) {
        self.closed.set(true);
    }

    /// Whether that is so.
    pub fn is_closed(&self) -> bool {
        self.closed.get()
    }

    /// Takes the next one.
    pub fn poll_next(&self, cx: &mut Context<'_>) -> Poll<Vec<u8>> {
        if let Some(datagram) = self.waiting.borrow_mut().pop_front() {
            return Poll::Ready(datagram);
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
