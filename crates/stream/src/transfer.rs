//! What a session sends and receives, over TCP, a unix socket or UDP.

use crate::downstream::Downstream;
use crate::session::Session;
use net::stream::Stream;
use socket2::SockRef;
use std::io::{self, IoSlice};
use std::task::{Context, Poll, Waker};

impl Session {
    /// `$protocol`
    pub fn protocol(&self) -> &'static str {
        if self.is_udp() { "UDP" } else { "TCP" }
    }

    /// Whether the client sends datagrams.
    pub fn is_udp(&self) -> bool {
        matches!(self.downstream, Downstream::Datagrams(_))
    }

    /// Appends data received from the client to `into`: first the bytes that were read ahead, then what arrives. `Ok(0)` is the end
    /// of the client's side. Over UDP it is one datagram, which may be empty, and there is no end.
    pub fn poll_read(&self, cx: &mut Context<'_>, into: &mut Vec<u8>) -> Poll<io::Result<usize>> {
        if let Some(early) = self.take_preread() {
            into.extend_from_slice(&early);
            // The first datagram has been counted.
            if !self.is_udp() {
                self.count_received(early.len());
            }
            return Poll::Ready(Ok(early.len()));
        }
        let read = self.poll_receive(cx, into);
        if let Poll::Ready(Ok(count)) = read {
            self.count_received(count);
        }
        read
    }

    /// Counts bytes that were read ahead and are now taken: `$bytes_received`.
    pub fn count_received(&self, count: usize) {
        self.received.set(self.received.get() + count as u64);
    }

    /// As [`Session::poll_read`], but past the bytes that were read ahead.
    fn poll_receive(&self, cx: &mut Context<'_>, into: &mut Vec<u8>) -> Poll<io::Result<usize>> {
        match &self.downstream {
            Downstream::Stream(stream) => match &mut *stream.borrow_mut() {
                Some(stream) => stream.poll_read(cx, into),
                None => Poll::Ready(Ok(0)),
            },
            Downstream::Datagrams(datagrams) => datagrams.poll_next(cx, into).map(Ok),
        }
    }

    /// Reads more of what [`Session::preread`] holds, which counts as received once somebody takes it. `Ok(0)` is the end of the client's side.
    pub fn poll_preread(&self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        let mut buffer = self.take_preread().unwrap_or_default();
        let read = self.poll_receive(cx, &mut buffer);
        if !buffer.is_empty() || (read.is_ready() && self.is_udp()) {
            self.put_preread(buffer);
        }
        read
    }

    /// Sends what the client takes of `bytes`; over UDP they are one datagram.
    pub fn poll_write(&self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let written = match &self.downstream {
            Downstream::Stream(stream) => match &mut *stream.borrow_mut() {
                Some(stream) => std::task::ready!(stream.poll_write_vectored(cx, &[IoSlice::new(bytes)])),
                None => Err(io::ErrorKind::NotConnected.into()),
            },
            Downstream::Datagrams(datagrams) => std::task::ready!(datagrams.poll_send(cx, bytes)),
        };
        if let Ok(count) = &written {
            self.sent.set(self.sent.get() + *count as u64);
        }
        Poll::Ready(written)
    }

    /// Sends what the client takes of `bytes` at once; over UDP they are one datagram.
    ///
    /// # Errors
    /// `WouldBlock` when it takes nothing, otherwise what the socket reports.
    pub fn try_write(&self, bytes: &[u8]) -> io::Result<usize> {
        let sent = match &self.downstream {
            Downstream::Stream(stream) => match &*stream.borrow() {
                // The event loop may not have told yet that there is room.
                Some(stream) => match stream.try_write(bytes) {
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock && stream.tls().is_none() => {
                        SockRef::from(&stream.descriptor()?).send(bytes)
                    }
                    sent => sent,
                },
                None => Err(io::ErrorKind::NotConnected.into()),
            },
            Downstream::Datagrams(datagrams) => match datagrams.poll_send(&mut Context::from_waker(Waker::noop()), bytes) {
                Poll::Ready(sent) => sent,
                Poll::Pending => Err(io::ErrorKind::WouldBlock.into()),
            },
        };
        if let Ok(count) = &sent {
            self.sent.set(self.sent.get() + *count as u64);
        }
        sent
    }

    /// Sends all of `bytes`.
    ///
    /// # Errors
    /// What the socket reports.
    pub async fn write_all(&self, bytes: &[u8]) -> io::Result<()> {
        let mut rest = bytes;
        while !rest.is_empty() {
            let count = std::future::poll_fn(|cx| self.poll_write(cx, rest)).await?;
            if count == 0 {
                return Err(io::ErrorKind::WriteZero.into());
            }
            rest = rest.get(count..).unwrap_or_default();
        }
        Ok(())
    }

    /// Says that nothing more will be sent; the client may go on. Nothing over UDP.
    pub fn end_writing(&self) {
        if let Downstream::Stream(stream) = &self.downstream
            && let Some(stream) = &*stream.borrow()
        {
            // Who cannot be told has gone.
            let _ = stream.shutdown_write();
        }
    }

    /// Runs `f` on the connection; `None` over UDP and while it is taken.
    pub fn with_stream<R>(&self, f: impl FnOnce(&mut Stream) -> R) -> Option<R> {
        match &self.downstream {
            Downstream::Stream(stream) => stream.borrow_mut().as_mut().map(f),
            Downstream::Datagrams(_) => None,
        }
    }

    /// Takes the connection, to make something else of it; [`Session::put_stream`] gives it back.
    pub fn take_stream(&self) -> Option<Stream> {
        match &self.downstream {
            Downstream::Stream(stream) => stream.borrow_mut().take(),
            Downstream::Datagrams(_) => None,
        }
    }

    /// Gives the connection back.
    pub fn put_stream(&self, own: Stream) {
        if let Downstream::Stream(stream) = &self.downstream {
            *stream.borrow_mut() = Some(own);
        }
    }

    /// Closes the way to the client; the engine does when the session is over.
    pub fn close(&self) {
        match &self.downstream {
            Downstream::Stream(stream) => {
                if let Some(stream) = stream.borrow_mut().take() {
                    // Who cannot be told has gone.
                    let _ = stream.close_notify();
                }
            }
            Downstream::Datagrams(datagrams) => datagrams.close(),
        }
    }
}
