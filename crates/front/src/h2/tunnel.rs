//! The bytes of a stream that an extended CONNECT (RFC 8441) opened.

use super::connection::GATHER;
use super::stream::Stream;
use http::Downstream;
use http::tunnel::Tunnel;
use std::io::{self, ErrorKind};
use std::rc::Rc;
use std::task::{Context, Poll};

/// The bytes of a stream that an extended CONNECT opened.
pub struct Raw(pub Rc<Stream>);

impl Tunnel for Raw {
    fn poll_read(&self, cx: &mut Context<'_>, into: &mut Vec<u8>) -> Poll<io::Result<usize>> {
        let stream = &self.0;
        let count = stream.body.borrow_mut().take(usize::MAX, into);
        if count > 0 {
            stream.release(count);
            return Poll::Ready(Ok(count));
        }
        if stream.body_ended.get() {
            return Poll::Ready(Ok(0));
        }
        if stream.lost.get() {
            return Poll::Ready(Err(ErrorKind::ConnectionReset.into()));
        }
        stream.waiting.enter(cx);
        Poll::Pending
    }

    fn poll_write(&self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        std::task::ready!(self.0.poll_drain(cx, GATHER as u64))?;
        self.0.output.borrow_mut().push_slice(bytes);
        self.0.ready();
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_shutdown(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.0.ended.set(true);
        self.0.ready();
        std::task::ready!(self.0.poll_drain(cx, 0))?;
        Poll::Ready(Ok(()))
    }
}
