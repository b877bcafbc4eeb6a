//! Sends a request as HTTP/2, within the server's flow-control windows.

use super::{SendError, Sender, Source};
use crate::channel::link::Link;
use http::Request;
use http::body::TempFile;
use std::io;
use std::rc::Rc;
use std::task::{Context, Poll};

/// So many bytes are queued before they are sent.
const QUEUE: usize = 64 * 1024;

/// The result of queueing one more frame.
enum Queued {
    /// There may be more.
    More,
    /// The window is used up, or the client has sent nothing more.
    Blocked,
    /// That was all.
    All,
}

impl Sender {
    pub(super) fn poll_frames(
        &mut self,
        cx: &mut Context<'_>,
        link: &mut Link,
        head: &[u8],
        request: &Rc<Request>,
    ) -> Poll<Result<(), SendError>> {
        if self.head == 0 {
            self.head = head.len();
            self.queued = self.is_bare();
            link.head(head, self.queued);
        }
        loop {
            let mut blocked = false;
            while !self.queued && !blocked && link.unsent() < QUEUE {
                match self.queue(cx, link, request)? {
                    Queued::More => {}
                    Queued::Blocked => blocked = true,
                    Queued::All => self.queued = true,
                }
            }
            let flushed = link.poll_flush(cx);
            self.sent = link.sent();
            match flushed {
                Poll::Ready(Err(error)) => return Poll::Ready(Err(SendError::Upstream(error))),
                Poll::Ready(Ok(())) if self.queued => return Poll::Ready(Ok(())),
                Poll::Ready(Ok(())) if !blocked => {}
                Poll::Ready(Ok(())) | Poll::Pending => return Poll::Pending,
            }
        }
    }

    /// Whether nothing follows the head.
    fn is_bare(&self) -> bool {
        match &self.source {
            Source::Nothing => true,
            Source::Memory(body) => body.with_data(<[u8]>::is_empty),
            Source::Own(bytes) => bytes.is_empty(),
            Source::File(_, length) => *length == 0,
            Source::Client(_) => false,
        }
    }

    fn queue(&mut self, cx: &mut Context<'_>, link: &mut Link, request: &Rc<Request>) -> Result<Queued, SendError> {
        match self.source.clone() {
            Source::Nothing => Ok(Queued::All),
            Source::Memory(body) => Ok(body.with_data(|data| self.queue_memory(link, data))),
            Source::Own(bytes) => Ok(self.queue_memory(link, &bytes)),
            Source::File(file, length) => self.queue_file(link, &file, length),
            Source::Client(_) => self.queue_client(cx, link, request),
        }
    }

    fn queue_memory(&mut self, link: &mut Link, data: &[u8]) -> Queued {
        let rest = usize::try_from(self.body).ok().and_then(|from| data.get(from..)).unwrap_or_default();
        let sent = link.data(rest, true);
        self.body += sent as u64;
        match sent {
            _ if sent == rest.len() => Queued::All,
            0 => Queued::Blocked,
            _ => Queued::More,
        }
    }

    fn queue_file(&mut self, link: &mut Link, file: &TempFile, length: u64) -> Result<Queued, SendError> {
        let left = length.saturating_sub(self.body);
        let count = usize::try_from(left).unwrap_or(usize::MAX).min(link.quota());
        if count == 0 {
            return Ok(Queued::Blocked);
        }
        self.buffer.clear();
        let read = sys::descriptor::read_at(&*file.file, &mut self.buffer, self.body, count).map_err(SendError::File)?;
        if read == 0 {
            return Err(SendError::File(io::ErrorKind::UnexpectedEof.into()));
        }
        let last = read as u64 == left;
        self.body += link.data(self.buffer.get(..read).unwrap_or_default(), last) as u64;
        Ok(if last { Queued::All } else { Queued::More })
    }

    fn queue_client(&mut self, cx: &mut Context<'_>, link: &mut Link, request: &Rc<Request>) -> Result<Queued, SendError> {
        let quota = link.quota();
        if let Some(early) = self.early.take() {
            self.buffer.extend_from_slice(&early);
        }
        if !self.client_ended && quota > self.buffer.len() - self.written {
            let mut data = std::mem::take(&mut self.buffer);
            data.drain(..std::mem::take(&mut self.written));
            let polled = self.poll_body(cx, request, &mut data);
            self.buffer = data;
            if let Poll::Ready(Err(outcome)) = polled {
                return Err(SendError::Client(outcome));
            }
        }
        let rest = self.buffer.get(self.written..).unwrap_or_default();
        if rest.is_empty() && !self.client_ended {
            return Ok(Queued::Blocked);
        }
        let sent = link.data(rest, self.client_ended);
        self.written += sent;
        Ok(match sent {
            _ if sent == rest.len() && self.client_ended => Queued::All,
            0 => Queued::Blocked,
            _ => Queued::More,
        })
    }
}
