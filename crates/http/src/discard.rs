//! The wire of a request or subrequest whose response is discarded.

use crate::chain::Chain;
use crate::connection::Downstream;
use crate::request::Request;

/// Accepts a response and drops it; has no request body.
#[derive(Clone, Copy, Debug)]
pub struct Discard;

impl Downstream for Discard {
    fn write_head(&self, _: &Request) {}

    fn write(&self, _: &Request, _: &[u8]) {}

    fn write_chain(&self, _: &Request, _: Chain) {}
}
