//! The bytes of an HTTP/1 connection whose request was upgraded.

use super::connection::H1;
use http::connection::Transport;
use http::tunnel::Tunnel;
use std::io::{self, ErrorKind, IoSlice};
use std::task::{Context, Poll, ready};

/// Raw access to an HTTP/1 connection, held through the wire of the request that was upgraded.
pub struct Raw {
    wire: Transport,
}

impl Raw {
    /// Raw access to the connection below `wire`; `None` if that is no HTTP/1 connection.
    pub fn new(wire: Transport) -> Option<Raw> {
        wire.as_any().is::<H1>().then_some(Raw { wire })
    }

    fn connection(&self) -> io::Result<&H1> {
        self.wire.as_any().downcast_ref().ok_or_else(|| ErrorKind::NotConnected.into())
    }
}

impl Tunnel for Raw {
    fn poll_read(&self, cx: &mut Context<'_>, into: &mut Vec<u8>) -> Poll<io::Result<usize>> {
        let connection = self.connection()?;
        {
            // What came together with the request waited for the upstream's consent.
            let mut input = connection.input.borrow_mut();
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
        let read = ready!(connection.stream.borrow_mut().poll_read(cx, into))?;
        if read == 0 {
            connection.input.borrow_mut().ended = true;
        }
        Poll::Ready(Ok(read))
    }

    fn poll_write(&self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let connection = self.connection()?;
        ready!(connection.poll_send(cx, 0))?;
        connection.stream.borrow_mut().poll_write_vectored(cx, &[IoSlice::new(bytes)])
    }

    fn poll_shutdown(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let connection = self.connection()?;
        ready!(connection.poll_send(cx, 0))?;
        // A client that has gone already needs no FIN.
        let _ = connection.stream.borrow().shutdown_write();
        Poll::Ready(Ok(()))
    }
}
