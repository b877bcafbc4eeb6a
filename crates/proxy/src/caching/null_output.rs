//! The wire of a request whose answer nobody gets.

use http::connection::Downstream;
use http::{Chain, Request};
use std::any::Any;

/// Takes an answer and forgets it; has no request body.
#[derive(Clone, Copy, Debug)]
pub struct NullOutput;

impl Downstream for NullOutput {
    fn write_head(&self, _: &Request) {}

    fn write(&self, _: &Request, _: &[u8]) {}

    fn write_chain(&self, _: &Request, _: Chain) {}

    fn as_any(&self) -> &dyn Any {
        self
    }
}
