//! The wire of a captured subrequest: its answer stays in memory.

use bytes::BytesMut;
use http::connection::{BodyError, BodyRead, Downstream};
use http::{Chain, Request};
use std::any::Any;
use std::cell::{Cell, RefCell};
use std::io;
use std::task::{Context, Poll};

/// Keeps the body; the head stays in the request.
#[derive(Debug, Default)]
pub(super) struct Capture {
    body: RefCell<BytesMut>,
    head: Cell<bool>,
    ended: Cell<bool>,
}

impl Capture {
    /// The body; none is left.
    pub(super) fn take(&self) -> BytesMut {
        self.body.take()
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
        let mut bytes = Vec::new();
        for piece in &chain.pieces {
            crate::api::arg::push_piece(piece, &mut bytes);
        }
        self.body.borrow_mut().extend_from_slice(&bytes);
        if chain.last {
            self.ended.set(true);
        }
    }

    fn write_interim(&self, _: &Request, _: u16) {}

    fn queued(&self) -> u64 {
        0
    }

    fn poll_drain(&self, _: &mut Context<'_>, _: u64) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_body(&self, _: &mut Context<'_>, _: &Request, _: &mut Vec<u8>, _: usize) -> Poll<Result<BodyRead, BodyError>> {
        Poll::Ready(Ok(BodyRead::End))
    }

    fn poll_gone(&self, _: &mut Context<'_>) -> Poll<()> {
        Poll::Pending
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}
