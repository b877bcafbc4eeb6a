//! Output queue of a connection or stream. Short runs are collected in one buffer, so that the head, the body and the responses to
//! pipelined requests leave in one write.

use crate::buffers;
use bytes::Bytes;
use http::chain::{FilePiece, Piece};
use net::stream::Stream;
use std::collections::VecDeque;
use std::io::{self, ErrorKind, IoSlice};

/// Runs up to this many bytes are copied into the gathering buffer.
const COPY_LIMIT: usize = 16 * 1024;
/// Pieces given to one writev(2).
const VECTOR: usize = 16;

/// Data that waits to be sent on a connection.
#[derive(Debug, Default)]
pub struct Output {
    pieces: VecDeque<Piece>,
    tail: Vec<u8>,
    /// Bytes of `tail` that have been sent; only while `pieces` is empty.
    sent: usize,
    queued: u64,
    /// `tcp_nopush`: memory before a file waits in the kernel for the file's first bytes.
    join: bool,
}

/// What an attempt to send achieved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sent {
    /// Nothing is left.
    All,
    /// The socket takes no more for now.
    Blocked,
    /// As much as was allowed has left.
    Enough,
}

/// The first piece of what waits.
pub enum Next<'a> {
    /// In memory.
    Memory(&'a [u8]),
    /// In a file.
    File(&'a FilePiece),
}

impl Output {
    /// How many bytes wait to be sent.
    pub fn queued(&self) -> u64 {
        self.queued
    }

    /// The buffer that short runs are appended to; call [`Output::appended`] afterwards.
    pub fn tail(&mut self) -> &mut Vec<u8> {
        if self.tail.capacity() == 0 {
            self.tail = buffers::take();
        }
        &mut self.tail
    }

    /// Accounts for bytes appended to [`Output::tail`] since it had `before`.
    pub fn appended(&mut self, before: usize) {
        self.queued += (self.tail.len() - before) as u64;
    }

    /// Appends by copying.
    pub(crate) fn push_slice(&mut self, data: &[u8]) {
        self.tail().extend_from_slice(data);
        self.queued += data.len() as u64;
    }

    /// Appends a piece, by copying if it is short.
    pub fn push(&mut self, piece: Piece) {
        match piece {
            Piece::Bytes(bytes) if bytes.len() <= COPY_LIMIT => self.push_slice(&bytes),
            piece if piece.is_empty() => {}
            piece => {
                self.seal();
                self.queued += piece.len();
                self.pieces.push_back(piece);
            }
        }
    }

    fn seal(&mut self) {
        if self.tail.len() > self.sent {
            let mut tail = std::mem::take(&mut self.tail);
            tail.drain(..self.sent);
            self.pieces.push_back(Piece::Bytes(Bytes::from(tail)));
        }
        self.tail.clear();
        self.sent = 0;
    }

    /// Forgets everything.
    pub fn clear(&mut self) {
        self.pieces.clear();
        self.tail.clear();
        (self.sent, self.queued) = (0, 0);
    }

    /// Forgets so many bytes at the end.
    pub(crate) fn truncate_end(&mut self, bytes: u64) {
        let mut left = bytes.min(self.queued);
        self.queued -= left;
        let from_tail = usize::try_from(left).unwrap_or(usize::MAX).min(self.tail.len() - self.sent);
        self.tail.truncate(self.tail.len() - from_tail);
        left -= from_tail as u64;
        while left > 0
            && let Some(mut piece) = self.pieces.pop_back()
        {
            let kept = piece.len().saturating_sub(left);
            left -= piece.len() - kept;
            match &mut piece {
                Piece::Bytes(bytes) => bytes.truncate(usize::try_from(kept).unwrap_or(usize::MAX)),
                Piece::File(file) => file.end = file.start + kept,
            }
            if kept > 0 {
                self.pieces.push_back(piece);
            }
        }
    }

    /// Whether a head leaves in one packet with the beginning of the file behind it.
    pub(crate) fn join_head_and_file(&mut self, join: bool) {
        self.join = join;
    }

    /// Sends as much as the socket takes, at most about `limit` bytes.
    ///
    /// # Errors
    /// Those of write(2); `UnexpectedEof` when a file has become shorter than its announced length.
    pub fn send(&mut self, stream: &Stream, limit: u64) -> io::Result<Sent> {
        let stop = self.queued.saturating_sub(limit);
        while self.queued > stop {
            let result = match self.pieces.front() {
                Some(Piece::File(file)) => send_file(stream, file, self.queued - stop),
                _ => self.send_memory(stream, self.queued - stop),
            };
            match result {
                Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
                Ok(n) => self.consume(n),
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(Sent::Blocked),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(if self.queued == 0 { Sent::All } else { Sent::Enough })
    }

    /// Sends what is gathered and then `data` from where it is; returns how many bytes of it have left. The rest is the caller's.
    ///
    /// # Errors
    /// Those of write(2) except `WouldBlock`.
    pub(crate) fn send_through(&mut self, stream: &Stream, data: &[IoSlice<'_>]) -> io::Result<usize> {
        if !self.pieces.is_empty() {
            return Ok(0);
        }
        let gathered = self.tail.get(self.sent..).unwrap_or_default();
        let length = gathered.len();
        let written = match (gathered, data) {
            ([], [only]) => stream.try_write(only),
            _ => {
                let mut slices = [IoSlice::new(&[]); VECTOR];
                let all = std::iter::once(IoSlice::new(gathered)).chain(data.iter().copied()).filter(|slice| !slice.is_empty());
                let count = slices.iter_mut().zip(all).map(|(slot, slice)| *slot = slice).count();
                stream.try_write_vectored(slices.get(..count).unwrap_or_default())
            }
        };
        let written = match written {
            Ok(written) => written,
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => 0,
            Err(error) => return Err(error),
        };
        self.consume(written.min(length));
        Ok(written.saturating_sub(length))
    }

    fn send_memory(&self, stream: &Stream, limit: u64) -> io::Result<usize> {
        let tail = self.tail.get(self.sent..).unwrap_or_default();
        if self.pieces.is_empty() {
            return stream.try_write(within(tail, limit));
        }
        let mut slices = [IoSlice::new(&[]); VECTOR];
        let mut count = 0;
        let mut only_memory = true;
        let mut left = limit;
        for (slot, piece) in slices.iter_mut().zip(&self.pieces) {
            match piece {
                Piece::Bytes(_) if left == 0 => break,
                Piece::Bytes(bytes) => {
                    let part = within(bytes, left);
                    *slot = IoSlice::new(part);
                    left -= part.len() as u64;
                }
                Piece::File(_) => {
                    only_memory = false;
                    break;
                }
            }
            count += 1;
        }
        if only_memory
            && count == self.pieces.len()
            && let Some(slot) = slices.get_mut(count)
        {
            *slot = IoSlice::new(within(tail, left));
            count += 1;
        }
        let slices = slices.get(..count).unwrap_or_default();
        // Measured on loopback: a head in the file's own segment costs the kernel more than a segment of its own saves.
        match slices {
            slices if self.join && !only_memory => stream.try_write_more(slices),
            [only] => stream.try_write(only),
            slices => stream.try_write_vectored(slices),
        }
    }

    /// What is next, for a wire that frames it; [`Output::consume`] what was taken.
    pub fn next(&self) -> Next<'_> {
        match self.pieces.front() {
            Some(Piece::Bytes(bytes)) => Next::Memory(bytes),
            Some(Piece::File(file)) => Next::File(file),
            None => Next::Memory(self.tail.get(self.sent..).unwrap_or_default()),
        }
    }

    /// So many bytes of the beginning have left.
    pub fn consume(&mut self, n: usize) {
        self.queued -= (n as u64).min(self.queued);
        let mut left = n;
        while left > 0 {
            let Some(piece) = self.pieces.front_mut() else {
                self.sent += left;
                break;
            };
            let length = piece.len();
            if (left as u64) < length {
                match piece {
                    Piece::Bytes(bytes) => drop(bytes.split_to(left)),
                    Piece::File(file) => file.start += left as u64,
                }
                return;
            }
            left -= usize::try_from(length).unwrap_or(left);
            self.pieces.pop_front();
        }
        if self.queued == 0 {
            buffers::put(std::mem::take(&mut self.tail));
            self.sent = 0;
        }
    }
}

fn within(data: &[u8], limit: u64) -> &[u8] {
    data.get(..usize::try_from(limit).unwrap_or(usize::MAX)).unwrap_or(data)
}

/// Most bytes of one sendfile(2), so that one fast client does not hold the worker.
const FILE_CHUNK: u64 = 2 << 20;

fn send_file(stream: &Stream, file: &FilePiece, limit: u64) -> io::Result<usize> {
    let count = (file.end - file.start).min(FILE_CHUNK).min(limit);
    stream.try_send_file(&*file.file, file.start, count as usize)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_runs_are_one() {
        let mut out = Output::default();
        out.push_slice(b"head ");
        out.push(Piece::Bytes(Bytes::from_static(b"body")));
        assert!(out.pieces.is_empty());
        assert_eq!(out.queued(), 9);
        out.consume(5);
        assert_eq!((out.sent, out.queued()), (5, 4));
        out.push(Piece::Bytes(Bytes::from(vec![b'x'; COPY_LIMIT + 1])));
        assert_eq!(out.pieces.len(), 2);
        out.push_slice(b"end");
        out.consume(4 + COPY_LIMIT + 1 + 1);
        assert_eq!((out.pieces.len(), out.queued()), (0, 2));
        out.consume(2);
        assert_eq!((out.tail.len(), out.sent, out.queued()), (0, 0, 0));
    }

    #[test]
    fn what_is_withdrawn_stood_last() {
        for withdrawn in 0..=60 {
            let mut out = Output::default();
            out.push_slice(b"first ");
            out.consume(3);
            out.push(Piece::Bytes(Bytes::from(vec![b'x'; COPY_LIMIT + 1])));
            out.push_slice(b"end");
            out.truncate_end(withdrawn);
            assert_eq!(out.queued(), (3 + COPY_LIMIT as u64 + 1 + 3).saturating_sub(withdrawn));
            out.truncate_end(COPY_LIMIT as u64 + 3 - withdrawn);
            let mut got = Vec::new();
            while out.queued() > 0 {
                let Next::Memory(run) = out.next() else { panic!("a file") };
                got.extend_from_slice(run);
                let n = run.len();
                out.consume(n);
            }
            assert_eq!(got, b"st x", "{withdrawn}");
            out.push_slice(b"next");
            out.truncate_end(100);
            assert_eq!(out.queued(), 0);
        }
    }

    #[tokio::test]
    async fn what_is_sent_through_leaves_behind_what_was_gathered() {
        let (one, mut other) = tokio::net::UnixStream::pair().unwrap();
        let mut stream = Stream::Unix(one);
        let data: Vec<u8> = (0..3_000_000_u32).map(|n| (n % 251) as u8).collect();
        std::future::poll_fn(|cx| stream.poll_write_ready(cx)).await.unwrap();
        let mut out = Output::default();
        out.push_slice(b"head ");
        let pieces = [IoSlice::new(&data[..100_000]), IoSlice::new(&data[100_000..])];
        let left = out.send_through(&stream, &pieces).unwrap();
        assert!(left > 0 && left < data.len(), "{left}");
        assert_eq!(out.queued(), 0);
        assert_eq!(out.send_through(&stream, &pieces).unwrap(), 0, "the socket is full");
        out.push_slice(b"tail");
        assert_eq!(out.send_through(&stream, &pieces).unwrap(), 0);
        assert_eq!(out.queued(), 4);
        let mut got = vec![0; 5 + left];
        tokio::io::AsyncReadExt::read_exact(&mut other, &mut got).await.unwrap();
        assert!(got.starts_with(b"head ") && got.get(5..) == data.get(..left));
        drop(other);
        std::future::poll_fn(|cx| stream.poll_write_ready(cx)).await.unwrap();
        assert!(out.send_through(&stream, &pieces).is_err());
        out.push(Piece::Bytes(Bytes::from(vec![b'x'; COPY_LIMIT + 1])));
        assert_eq!(out.send_through(&stream, &pieces).unwrap(), 0, "what is in the queue goes first");
    }

    #[tokio::test]
    async fn no_more_than_allowed_leaves() {
        let (one, mut other) = tokio::net::UnixStream::pair().unwrap();
        let mut stream = Stream::Unix(one);
        let mut out = Output::default();
        out.push(Piece::Bytes(Bytes::from(vec![b'x'; COPY_LIMIT + 1])));
        out.push(Piece::Bytes(Bytes::from(vec![b'y'; COPY_LIMIT + 1])));
        out.push_slice(b"end");
        std::future::poll_fn(|cx| stream.poll_write_ready(cx)).await.unwrap();
        let mut total = 0;
        for limit in [10, COPY_LIMIT as u64, 100] {
            assert_eq!(out.send(&stream, limit).unwrap(), Sent::Enough);
            total += limit;
            assert_eq!(out.queued(), 2 * (COPY_LIMIT as u64 + 1) + 3 - total);
        }
        assert_eq!(out.send(&stream, u64::MAX).unwrap(), Sent::All);
        drop(stream);
        let mut got = Vec::new();
        tokio::io::AsyncReadExt::read_to_end(&mut other, &mut got).await.unwrap();
        assert!(got.ends_with(b"yend") && got.len() == 2 * (COPY_LIMIT + 1) + 3);
    }
}
