//! Traits of a stream: the socket below TLS, and an idle connection of a pool.

use super::Stream;
use crate::tls::Socket;
use std::io;
use std::task::{Context, Poll};

impl Socket for Stream {
    fn try_read(&self, into: &mut Vec<u8>) -> io::Result<usize> {
        Stream::try_read(self, into)
    }

    fn poll_read(&mut self, cx: &mut Context<'_>, into: &mut Vec<u8>) -> Poll<io::Result<usize>> {
        Stream::poll_read(self, cx, into)
    }

    fn try_write(&self, bytes: &[u8]) -> io::Result<usize> {
        Stream::try_write(self, bytes)
    }

    fn poll_write_ready(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Stream::poll_write_ready(self, cx)
    }

    fn is_tls(&self) -> bool {
        self.tls().is_some()
    }
}

impl crate::pool::Idle for Stream {
    fn is_alive(&self) -> bool {
        self.is_quiet()
    }
}
