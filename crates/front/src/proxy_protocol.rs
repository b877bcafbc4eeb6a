//! The PROXY protocol header before a connection's first byte: `listen … proxy_protocol`.

use crate::h1::connection::H1;
use http::connection::Proxied;
use std::future::poll_fn;
use std::rc::Rc;
use std::task::{Context, Poll};
use wire::proxy_protocol::{ProxyError, Status, parse};

/// Why a connection has no header. It is closed without an answer.
#[derive(Debug)]
pub enum Failure {
    /// What came is none.
    Bad(ProxyError),
    /// The client closed, or an error.
    Closed,
    /// `client_header_timeout`, or evicted.
    TimedOut,
}

/// Reads the header; the deadline is already set on the connection's watch. The bytes behind it stay in the input.
///
/// # Errors
/// [`Failure`]; the input still holds what came.
pub async fn read(conn: &H1) -> Result<(), Failure> {
    poll_fn(|cx| poll(conn, cx)).await
}

fn poll(conn: &H1, cx: &mut Context<'_>) -> Poll<Result<(), Failure>> {
    loop {
        let parsed = parse(conn.input.borrow().rest());
        match parsed {
            Err(error) => return Poll::Ready(Err(Failure::Bad(error))),
            Ok(Status::Complete { len, ends }) => {
                let mut input = conn.input.borrow_mut();
                let proxied =
                    ends.map(|ends| Rc::new(Proxied { client: ends.client, server: ends.server, tlvs: ends.tlvs.of(input.rest()).into() }));
                input.advance(len);
                conn.info.proxy_protocol.replace(proxied);
                return Poll::Ready(Ok(()));
            }
            Ok(Status::Partial) => {}
        }
        if conn.watch.evicted() || conn.watch.read_expired() {
            return Poll::Ready(Err(Failure::TimedOut));
        }
        match conn.poll_fill(cx) {
            Poll::Pending => return Poll::Pending,
            Poll::Ready(Ok(n)) if n > 0 => {}
            Poll::Ready(_) => return Poll::Ready(Err(Failure::Closed)),
        }
    }
}
