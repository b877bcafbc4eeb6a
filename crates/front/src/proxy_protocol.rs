//! The PROXY protocol header before a connection's first byte: `listen … proxy_protocol`.

use crate::protocol::Accepted;
use http::connection::Proxied;
use std::fmt;
use std::future::poll_fn;
use std::rc::Rc;
use std::task::{Context, Poll};
use wire::proxy_protocol::{ProxyError, Status, parse};

/// Why a connection has no header. It is closed without a response.
#[derive(Debug)]
pub enum Failure {
    /// What came is none.
    Bad(ProxyError),
    /// The client closed, or an error.
    Closed,
    /// `client_header_timeout`, or evicted.
    TimedOut,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Failure::Bad(error) => error.fmt(f),
            Failure::Closed => f.write_str("client closed connection before the PROXY header"),
            Failure::TimedOut => f.write_str("client timed out before the PROXY header"),
        }
    }
}

impl std::error::Error for Failure {}

/// Reads the header; the deadline is already set on the connection's watch. The bytes behind it stay in the input.
///
/// # Errors
/// [`Failure`]; the input still holds what came.
pub async fn read(opened: &mut Accepted) -> Result<(), Failure> {
    poll_fn(|cx| poll(opened, cx)).await
}

fn poll(opened: &mut Accepted, cx: &mut Context<'_>) -> Poll<Result<(), Failure>> {
    loop {
        match parse(opened.input.unread()) {
            Err(error) => return Poll::Ready(Err(Failure::Bad(error))),
            Ok(Status::Complete { len, ends }) => {
                let tlvs = |ends: wire::proxy_protocol::Addresses| ends.tlvs.of(opened.input.unread()).into();
                let proxied = ends.map(|ends| Rc::new(Proxied { client: ends.client, server: ends.server, tlvs: tlvs(ends) }));
                opened.input.advance(len);
                opened.info.proxy_protocol.replace(proxied);
                return Poll::Ready(Ok(()));
            }
            Ok(Status::Partial) => {}
        }
        if opened.watch.evicted() || opened.watch.read_expired() {
            return Poll::Ready(Err(Failure::TimedOut));
        }
        match std::task::ready!(opened.poll_fill(cx)) {
            Ok(n) if n > 0 => {}
            _ => return Poll::Ready(Err(Failure::Closed)),
        }
    }
}
