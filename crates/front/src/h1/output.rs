//! What waits to be sent on a connection. Short runs are gathered into one buffer, so that the head, the body and the
//! answers to pipelined requests leave in one write.

use super::buffers;
use bytes::Bytes;
use http::chain::{FilePiece, Piece};
use net::stream::Stream;
use std::collections::VecDeque;
use std::io::{self, ErrorKind, IoSlice};

/// Runs up to this many bytes are copied into the gathering buffer.
const COPY_LIMIT: usize = 16 * 1024;
/// Pieces given to one writev(2).
const VECTOR: usize = 16;

/// The queue.
#[derive(Debug, Default)]
pub struct Output {
    pieces: VecDeque<Piece>,
    tail: Vec<u8>,
    /// Bytes of `tail` that have been sent; only while `pieces` is empty.
    sent: usize,
    queued: u64,
}

impl Output {
    /// Bytes that wait.
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
    pub fn push_slice(&mut self, data: &[u8]) {
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

    /// Sends as much as the socket takes. Answers whether all has left.
    ///
    /// # Errors
    /// Those of write(2); `UnexpectedEof` when a file has become shorter than its announced length.
    pub fn send(&mut self, stream: &Stream, limit: u64) -> io::Result<bool> {
        let stop = self.queued.saturating_sub(limit);
        while self.queued > stop {
            let result = match self.pieces.front() {
                Some(Piece::File(file)) => send_file(stream, file, self.queued - stop),
                _ => self.send_memory(stream),
            };
            match result {
                Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
                Ok(n) => self.consume(n),
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(false),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(self.queued == 0)
    }

    fn send_memory(&self, stream: &Stream) -> io::Result<usize> {
        let tail = self.tail.get(self.sent..).unwrap_or_default();
        if self.pieces.is_empty() {
            return stream.try_write(tail);
        }
        if let (Some(Piece::Bytes(bytes)), Some(Piece::File(_))) = (self.pieces.front(), self.pieces.get(1)) {
            return stream.try_write_more(bytes);
        }
        let mut slices = [IoSlice::new(&[]); VECTOR];
        let mut count = 0;
        let mut only_memory = true;
        for (slot, piece) in slices.iter_mut().zip(&self.pieces) {
            match piece {
                Piece::Bytes(bytes) => *slot = IoSlice::new(bytes),
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
            *slot = IoSlice::new(tail);
            count += 1;
        }
        stream.try_write_vectored(slices.get(..count).unwrap_or_default())
    }

    fn consume(&mut self, n: usize) {
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
            left -= length as usize;
            self.pieces.pop_front();
        }
        if self.queued == 0 {
            buffers::give(std::mem::take(&mut self.tail));
            self.sent = 0;
        }
    }
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
}
