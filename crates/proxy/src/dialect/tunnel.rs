//! No protocol at all: a tunnel that CONNECT asks for (RFC 9110 section 9.3.6).

use super::{Dialect, Encoded, Framing, Head, Job, RequestBody, RequestContext, UpstreamResponse};
use http::{Method, Outcome, Request};
use wire::h1::response::ResponseHead;
use wire::span::Span;

/// `tunnel_pass`.
pub(crate) struct Tunnel;

impl Dialect for Tunnel {
    fn scheme(&self) -> &'static [u8] {
        b""
    }

    fn is_tunnel(&self) -> bool {
        true
    }

    fn check_request(&self, request: &Request) -> Result<(), Outcome> {
        if request.method() == Method::CONNECT { Ok(()) } else { Err(Outcome::Status(405)) }
    }

    fn request_body(&self, _: &Request) -> Result<RequestBody, Outcome> {
        Ok(RequestBody::Nothing)
    }

    fn encode(&self, _: &Job<'_>, _: &mut Vec<u8>) -> Option<Encoded> {
        Some(Encoded::default())
    }

    /// That there is a connection is the answer.
    fn parse(&self, _: &mut ResponseHead, _: &[u8], _: &RequestContext<'_>) -> Result<Head, Vec<u8>> {
        Ok(Head::Complete(UpstreamResponse {
            length: 0,
            status: 200,
            status_line: Span::default(),
            body: Framing::UntilClose,
            content_length: None,
            keep_alive: false,
            tunnel: true,
        }))
    }
}
