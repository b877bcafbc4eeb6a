//! The bytes of an HTTP/1 connection whose request was upgraded.

use super::connection::H1;
use http::tunnel::Tunnel;
use std::io::{self, IoSlice};
use std::task::{Context, Poll, ready};

impl Tunnel for H1 {
    fn poll_read(&self, cx: &mut Context<'_>, into: &mut Vec<u8>) -> Poll<io::Result<usize>> {
        {
            // What came together with the request waited for the upstream's consent.
            let mut input = self.input.borrow_mut();
            let early = input.unread().len();
            if early > 0 {
                into.extend_from_slice(input.unread());
                input.advance(early);
                return Poll::Ready(Ok(early));
            }
            if input.ended {
                return Poll::Ready(Ok(0));
            }
        }
        let read = ready!(self.stream.borrow_mut().poll_read(cx, into))?;
        if read == 0 {
            self.input.borrow_mut().ended = true;
        }
        Poll::Ready(Ok(read))
    }

    fn still_waits(&self) -> bool {
        self.stream.borrow().still_waits()
    }

    fn poll_write(&self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        ready!(self.poll_send(cx, 0))?;
        self.stream.borrow_mut().poll_write_vectored(cx, &[IoSlice::new(bytes)])
    }

    fn poll_shutdown(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_send(cx, 0))?;
        // A client that has gone already needs no FIN.
        let _ = self.stream.borrow().shutdown_write();
        Poll::Ready(Ok(()))
    }
}
