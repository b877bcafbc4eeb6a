//! The wire of a subrequest whose answer's body nobody wants.

use http::connection::Downstream;
use http::{Chain, Request};
use std::any::Any;

/// Takes an answer and forgets its body; has no request body.
#[derive(Clone, Copy, Debug)]
pub struct Discard;

impl Downstream for Discard {
    fn write_head(&self, _: &Request) {}

    fn write(&self, _: &Request, _: &[u8]) {}

    fn write_chain(&self, _: &Request, _: Chain) {}

    fn as_any(&self) -> &dyn Any {
        self
    }
}
