//! The end of a stream: of our side, or of all of it.

use super::Stream;
use crate::tls::TlsStream;
use socket2::SockRef;
use std::io;

impl Stream {
    /// Tells the peer that no more bytes come, shutdown(2) `SHUT_WR`; TLS says close_notify first.
    ///
    /// # Errors
    /// What shutdown(2) reports, such as `NotConnected` when the peer has reset the connection; `WouldBlock` when
    /// close_notify has to wait for the socket ([`Stream::shutdown`] does).
    pub fn shutdown_write(&self) -> io::Result<()> {
        self.close_notify()?;
        SockRef::from(&self.descriptor()?).shutdown(std::net::Shutdown::Write)
    }

    /// As [`Stream::shutdown_write`], but waits for the socket where it has to.
    ///
    /// # Errors
    /// What send(2) and shutdown(2) report.
    pub async fn shutdown(&mut self) -> io::Result<()> {
        loop {
            match self.shutdown_write() {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    std::future::poll_fn(|cx| self.poll_write_ready(cx)).await?;
                }
                result => return result,
            }
        }
    }

    /// Says close_notify on TLS.
    ///
    /// # Errors
    /// What send(2) reports; `WouldBlock` when the socket takes nothing.
    pub fn close_notify(&self) -> io::Result<()> {
        self.tls().map_or(Ok(()), TlsStream::close)
    }

    /// Makes the close, whenever it comes, a reset.
    ///
    /// # Errors
    /// What setsockopt(2) reports.
    pub fn set_linger_reset(&self) -> io::Result<()> {
        sys::socket::set_linger(self.descriptor()?, Some(0))
    }

    /// Closes with a reset, so that the kernel keeps neither unsent bytes nor a dying socket
    /// (`reset_timedout_connection`).
    ///
    /// # Errors
    /// What setsockopt(2) reports; the socket is closed in any case.
    pub fn reset(self) -> io::Result<()> {
        sys::socket::set_linger(self.descriptor()?, Some(0))
    }
}
