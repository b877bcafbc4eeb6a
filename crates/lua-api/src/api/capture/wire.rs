//! The wire of a captured subrequest: its response stays in memory.

use http::connection::Downstream;
use http::{Chain, Request};
use std::cell::{Cell, RefCell};
use std::rc::Rc;

/// Keeps the body; the head stays in the request.
#[derive(Debug, Default)]
pub(super) struct Capture {
    body: RefCell<Vec<u8>>,
    head: Cell<bool>,
    ended: Cell<bool>,
}

thread_local!(static IDLE: RefCell<Vec<Rc<Capture>>> = const { RefCell::new(Vec::new()) });

/// Most wires that are kept for the next subrequests, and the largest body whose memory stays with one.
const KEPT: usize = 32;
const LARGEST: usize = 16 * 1024;

impl Capture {
    /// A wire on which nothing has come yet.
    pub(super) fn from_pool() -> Rc<Capture> {
        IDLE.with_borrow_mut(Vec::pop).unwrap_or_default()
    }

    /// Takes a wire back, unless it is still referenced.
    pub(super) fn put(mut wire: Rc<Capture>) {
        let Some(own) = Rc::get_mut(&mut wire) else { return };
        own.head.set(false);
        own.ended.set(false);
        let body = own.body.get_mut();
        body.clear();
        if body.capacity() <= LARGEST {
            IDLE.with_borrow_mut(|idle| {
                if idle.len() < KEPT {
                    idle.push(wire);
                }
            });
        }
    }

    /// Runs `f` on the body.
    pub(super) fn with_body<R>(&self, f: impl FnOnce(&[u8]) -> R) -> R {
        f(&self.body.borrow())
    }

    /// Whether there was a head.
    pub(super) fn has_head(&self) -> bool {
        self.head.get()
    }

    /// Whether the body's end came through all filters.
    pub(super) fn has_end(&self) -> bool {
        self.ended.get()
    }
}

impl Downstream for Capture {
    fn write_head(&self, _: &Request) {
        self.head.set(true);
    }

    fn write(&self, _: &Request, data: &[u8]) {
        self.body.borrow_mut().extend_from_slice(data);
    }

    fn write_chain(&self, _: &Request, chain: Chain) {
        let mut body = self.body.borrow_mut();
        for piece in &chain.pieces {
            crate::api::arg::push_piece(piece, &mut body);
        }
        if chain.last {
            self.ended.set(true);
        }
    }
}
