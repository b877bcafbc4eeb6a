//! The bytes of a stream opened by extended CONNECT (RFC 8441, RFC 9220).

use super::Stream;
use super::state::BodyState;
use crate::streams::carrier::Carrier;
use http::Downstream;
use http::tunnel::Tunnel;
use std::io::{self, ErrorKind};
use std::task::{Context, Poll};

/// So much may wait before more is taken.
const MOST: u64 = 128 * 1024;

impl<C: Carrier> Tunnel for Stream<C> {
    fn poll_read(&self, cx: &mut Context<'_>, into: &mut Vec<u8>) -> Poll<io::Result<usize>> {
        let count = self.body.borrow_mut().take(usize::MAX, into);
        if count > 0 {
            self.release(count);
            return Poll::Ready(Ok(count));
        }
        if self.body_state.get() != BodyState::Open {
            return Poll::Ready(Ok(0));
        }
        if self.reset.get() {
            return Poll::Ready(Err(ErrorKind::ConnectionReset.into()));
        }
        self.waiting.enter(cx);
        Poll::Pending
    }

    fn poll_write(&self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        std::task::ready!(self.poll_drain(cx, MOST))?;
        self.output.borrow_mut().push_slice(bytes);
        self.notify_ready();
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_shutdown(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.complete();
        self.notify_ready();
        std::task::ready!(self.poll_drain(cx, 0))?;
        Poll::Ready(Ok(()))
    }
}
