//! Bytes received on a connection and not consumed yet.

use crate::buffers;
use net::stream::Stream;
use std::io;
use std::task::{Context, Poll};

/// A head with a small body mostly fits into this: one read takes both. A connection being answered may hold an empty buffer of
/// this size.
const SMALL: usize = 4096;

/// A longer body is read in pieces of this size.
const LARGE: usize = 16 * 1024;

/// Less is copied sooner than its buffer is replaced.
const LEAST: usize = 1024;

/// Bytes received and not yet used.
#[derive(Debug, Default)]
pub struct Input {
    /// The bytes.
    pub buffer: Vec<u8>,
    /// How many of them are used up.
    pub used: usize,
    /// The client has closed its side.
    pub ended: bool,
}

impl Input {
    /// Unused bytes.
    pub fn unread(&self) -> &[u8] {
        self.buffer.get(self.used..).unwrap_or_default()
    }

    /// Marks `n` bytes as used.
    pub fn advance(&mut self, n: usize) {
        self.used += n;
        if self.used >= self.buffer.len() {
            // Whoever then waits for bytes in vain gives an empty buffer back; most do not wait.
            self.buffer.clear();
            self.used = 0;
            if self.buffer.capacity() > SMALL {
                self.release_buffer();
            }
        }
    }

    /// Whether the buffer has `length` bytes, none of them used, and little room besides: it may then be given away instead of copied.
    pub(crate) fn is_whole(&self, length: usize) -> bool {
        self.used == 0 && self.buffer.len() == length && length >= (self.buffer.capacity() / 2).max(LEAST)
    }

    /// Lends the buffer to others if it is empty.
    pub fn release_buffer(&mut self) {
        if self.buffer.is_empty() {
            buffers::put(std::mem::take(&mut self.buffer));
        }
    }

    /// Reads what has arrived on `stream`. `Ok(0)` is the end of the stream. While nothing comes, no empty buffer is held.
    pub fn poll_fill(&mut self, stream: &mut Stream, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        self.poll_fill_with(stream, cx, SMALL)
    }

    /// As [`Input::poll_fill`] where `wanted` bytes are expected.
    pub(crate) fn poll_fill_with(&mut self, stream: &mut Stream, cx: &mut Context<'_>, wanted: usize) -> Poll<io::Result<usize>> {
        if self.ended {
            return Poll::Ready(Ok(0));
        }
        let size = wanted.clamp(SMALL, LARGE);
        let used = &mut self.used;
        let read = stream.poll_read_with(cx, &mut self.buffer, |buffer| {
            if buffer.is_empty() && buffer.capacity() < size {
                lend(buffer, size);
            }
            compact(buffer, used);
        });
        match read {
            Poll::Ready(Ok(0)) => self.ended = true,
            Poll::Pending => self.release_buffer(),
            Poll::Ready(_) => {}
        }
        read
    }
}

/// Gives an empty buffer room for `size` bytes.
fn lend(buffer: &mut Vec<u8>, size: usize) {
    let spare = if buffer.capacity() == 0 { buffers::take() } else { std::mem::take(buffer) };
    if spare.capacity() < size {
        buffers::put(spare);
        *buffer = Vec::with_capacity(size);
    } else {
        *buffer = spare;
    }
}

/// Moves unused bytes to the front before more are read behind them.
fn compact(buffer: &mut Vec<u8>, used: &mut usize) {
    if *used > 0 && *used >= buffer.len() / 2 {
        buffer.drain(..*used);
        *used = 0;
    }
}

impl Drop for Input {
    fn drop(&mut self) {
        buffers::put(std::mem::take(&mut self.buffer));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::future::poll_fn;

    #[tokio::test]
    async fn a_longer_body_is_read_in_large_pieces() {
        let (one, other) = tokio::net::UnixStream::pair().unwrap();
        let (mut client, mut server) = (Stream::Unix(one), Stream::Unix(other));
        client.write_all(&[b'x'; 30_000]).await.unwrap();
        let mut input = Input::default();
        for (wanted, expected) in [(0, SMALL), (30_000 - SMALL, LARGE), (9520, 9520)] {
            assert_eq!(poll_fn(|cx| input.poll_fill_with(&mut server, cx, wanted)).await.unwrap(), expected);
            input.advance(expected);
        }
    }

    #[test]
    fn a_buffer_is_given_away_only_if_it_is_full_of_what_is_wanted() {
        for (room, held, used, wanted, expected) in [
            (SMALL, SMALL, 0, SMALL, true),
            (LARGE, LARGE / 2, 0, LARGE / 2, true),
            (LARGE, LARGE / 2 - 1, 0, LARGE / 2 - 1, false),
            (SMALL, SMALL, 9, SMALL - 9, false),
            (SMALL, SMALL, 0, SMALL - 1, false),
            (LEAST, LEAST - 1, 0, LEAST - 1, false),
            (LEAST, LEAST, 0, LEAST, true),
            (0, 0, 0, 0, false),
        ] {
            let mut buffer = Vec::with_capacity(room);
            buffer.resize(held, b'x');
            let input = Input { buffer, used, ended: false };
            assert_eq!(input.is_whole(wanted), expected, "{wanted} of {held} in {room}, {used} used");
        }
    }

    #[tokio::test]
    async fn a_head_and_a_small_body_are_one_read() {
        let (one, other) = tokio::net::UnixStream::pair().unwrap();
        let (mut client, mut server) = (Stream::Unix(one), Stream::Unix(other));
        client.write_all(&[b'x'; 3000]).await.unwrap();
        let mut input = Input::default();
        assert_eq!(poll_fn(|cx| input.poll_fill(&mut server, cx)).await.unwrap(), 3000);
        input.advance(3000);
        assert!(input.buffer.capacity() <= SMALL);
        assert!(poll_fn(|cx| Poll::Ready(input.poll_fill(&mut server, cx))).await.is_pending());
        assert_eq!(input.buffer.capacity(), 0, "who waits holds no buffer");
    }
}
