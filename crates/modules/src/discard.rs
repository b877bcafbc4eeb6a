//! The wire of a subrequest whose answer's body nobody wants.

use http::connection::{BodyError, BodyRead, Downstream};
use http::{Chain, Request};
use std::any::Any;
use std::io;
use std::task::{Context, Poll};

/// Takes an answer and forgets its body; has no request body.
#[derive(Clone, Copy, Debug)]
pub struct Discard;

impl Downstream for Discard {
    fn write_head(&self, _: &Request) {}

    fn write(&self, _: &Request, _: &[u8]) {}

    fn write_chain(&self, _: &Request, _: Chain) {}

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
