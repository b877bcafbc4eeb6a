//! What a request does with its HTTP/1 connection: the head, body and trailers of its response, and its body.

use super::connection::{EPIPE, H1};
use super::head_out;
use crate::active::NEVER;
use crate::output::Output;
use crate::request::keepalive_allowed;
use base::clock;
use http::chain::{Chain, Piece};
use http::connection::{BodyError, BodyRead};
use http::core::default;
use http::tunnel::Tunnel;
use http::{Downstream, Headers, Request};
use std::io::{self, IoSlice};
use std::os::fd::BorrowedFd;
use std::rc::Rc;
use std::task::{Context, Poll};
use wire::chunked::{CHUNK_END, LAST, LAST_WITH_TRAILERS, SizeLine};

/// Runs of so many bytes are worth a system call of their own.
const DIRECT: usize = 16 * 1024;

/// So much of an unread body is taken in while looking whether the client is still there.
const EARLY_BODY: usize = 16 * 1024;

impl H1 {
    /// The client waits for a word before it sends its body, and the response comes without it: whether the body follows then is not
    /// known, so nothing can follow the response.
    fn awaits_continue(&self, request: &Request) -> bool {
        request.flags.expects_continue.get() && !self.body.borrow().is_done() && self.input.borrow().unread().is_empty()
    }

    fn append_chunk(&self, length: u64, append: impl FnOnce(&mut Output)) {
        let mut output = self.output.borrow_mut();
        if self.chunked.get() {
            output.push_slice(SizeLine::new(length).as_bytes());
            append(&mut output);
            output.push_slice(CHUNK_END);
        } else {
            append(&mut output);
        }
    }

    fn end_body(&self, request: &Request) {
        if !self.chunked.get() || request.flags.header_only.get() {
            return;
        }
        let response = request.response.borrow();
        let mut output = self.output.borrow_mut();
        if response.trailers.is_empty() {
            output.push_slice(LAST);
        } else {
            output.push_slice(LAST_WITH_TRAILERS);
            for (name, value) in response.trailers.iter() {
                output.push_slice(&[name, b": ", value, b"\r\n"].concat());
            }
            output.push_slice(b"\r\n");
        }
    }

    /// Offers a large run to the socket before any of it is copied.
    fn write_through(&self, request: &Request, data: &[IoSlice<'_>], length: u64, before: u64) {
        self.pace.update(request);
        let (mut left, mut failed) = (0, None);
        self.append_chunk(length, |output| {
            let gathered = output.queued();
            let stream = self.stream.borrow();
            // What TLS has sealed has to be offered again as it was.
            let may = stream.tls().is_none() && !self.watch.is_writing() && self.pace.allows(gathered + length);
            let sent = if may { output.send_through(&stream, data) } else { Ok(0) };
            let mut sent = sent.unwrap_or_else(|error| {
                failed = Some(error.raw_os_error().unwrap_or(EPIPE));
                0
            });
            left = gathered - output.queued() + sent as u64;
            for piece in data {
                let of_it = sent.min(piece.len());
                sent -= of_it;
                output.push_slice(piece.get(of_it..).unwrap_or_default());
            }
        });
        let added = self.output.borrow().queued() + left - before;
        request.bytes_sent.set(request.bytes_sent.get() + added);
        if let Some(cause) = failed {
            self.cause.set(cause);
            self.break_off();
        }
    }

    fn account(&self, request: &Request, before: u64) {
        self.pace.update(request);
        let added = self.output.borrow().queued() - before;
        request.bytes_sent.set(request.bytes_sent.get() + added);
    }
}

impl Downstream for H1 {
    fn write_head(&self, request: &Request) {
        if self.broken.get() {
            return;
        }
        if self.awaits_continue(request) {
            request.flags.keepalive.set(false);
        }
        // The location is known now, and the worker may have begun to leave.
        if request.flags.keepalive.get() && !request.with_location(|l| keepalive_allowed(request, &l.core)) {
            request.flags.keepalive.set(false);
        }
        let before = self.output.borrow().queued();
        self.pace.begin(request, clock::now());
        self.watch.pause_until(NEVER);
        self.output.borrow_mut().join_head_and_file(request.with_location(|l| l.core.tcp_nopush.unwrap_or(false)));
        self.chunked.set(head_out::write(&mut self.output.borrow_mut(), request));
        if request.flags.header_only.get() {
            self.flush.set(true);
        }
        self.account(request, before);
        request.header_size.set(self.output.borrow().queued() - before);
        self.send_timeout.set(request.with_location(|l| l.core.send_timeout.unwrap_or(default::TIMEOUT)));
    }

    fn write(&self, request: &Request, data: &[u8]) {
        self.write_pieces(request, &[IoSlice::new(data)]);
    }

    fn write_pieces(&self, request: &Request, pieces: &[IoSlice<'_>]) {
        let length: usize = pieces.iter().map(|piece| piece.len()).sum();
        if length == 0 || self.broken.get() {
            return;
        }
        let before = self.output.borrow().queued();
        if length >= DIRECT {
            return self.write_through(request, pieces, length as u64, before);
        }
        self.append_chunk(length as u64, |output| pieces.iter().for_each(|piece| output.push_slice(piece)));
        self.account(request, before);
    }

    fn write_chain(&self, request: &Request, chain: Chain) {
        if self.broken.get() {
            return;
        }
        let before = self.output.borrow().queued();
        let length = chain.len();
        if length > 0 {
            self.append_chunk(length, |output| chain.pieces.into_iter().for_each(|piece: Piece| output.push(piece)));
        }
        if chain.last {
            self.end_body(request);
        }
        // The end of a response leaves as soon as what comes next must wait.
        if chain.flush || chain.last {
            self.flush.set(true);
        }
        self.account(request, before);
    }

    fn write_interim(&self, request: &Request, status: u16, headers: &Headers) {
        let reason = match status {
            100 => "Continue",
            103 => "Early Hints",
            _ => wire::status::reason(status).unwrap_or_default(),
        };
        let mut head = format!("HTTP/1.1 {status} {reason}\r\n").into_bytes();
        headers.lines().for_each(|(_, line)| head.extend_from_slice(line));
        head.extend_from_slice(b"\r\n");
        let before = self.output.borrow().queued();
        self.output.borrow_mut().push_slice(&head);
        self.account(request, before);
        // A failure shows at the next read or write.
        let _ = self.try_send();
    }

    fn queued(&self) -> u64 {
        self.output.borrow().queued()
    }

    fn unsent(&self) -> u64 {
        self.unsent.get()
    }

    fn poll_drain(&self, cx: &mut Context<'_>, below: u64) -> Poll<io::Result<()>> {
        self.poll_send(cx, below)
    }

    fn poll_body(&self, cx: &mut Context<'_>, request: &Request, out: &mut Vec<u8>, limit: usize) -> Poll<Result<BodyRead, BodyError>> {
        self.poll_upload(cx, request, out, limit)
    }

    fn body_at_hand(&self) -> u64 {
        self.body.borrow().remaining().min(self.input.borrow().unread().len() as u64)
    }

    fn body_announced(&self) -> Option<u64> {
        self.body.borrow().announced()
    }

    fn has_bad_body(&self) -> bool {
        self.body.borrow().is_bad(self.input.borrow().unread())
    }

    fn poll_gone(&self, cx: &mut Context<'_>) -> Poll<()> {
        if self.broken.get() {
            return Poll::Ready(());
        }
        loop {
            {
                let input = self.input.borrow();
                if input.ended {
                    return Poll::Ready(());
                }
                // Bytes of the next request are a sign of life. The request's own body, as long as nobody reads it, is none;
                // but a large one is not read on.
                let (waiting, own) = (input.unread().len(), self.body.borrow().remaining());
                if waiting as u64 > own || waiting > EARLY_BODY {
                    return Poll::Pending;
                }
            }
            match self.poll_fill(cx) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Ok(n)) if n > 0 => {}
                Poll::Ready(_) => return Poll::Ready(()),
            }
        }
    }

    fn tunnel(self: Rc<Self>, request: &Request) -> Option<Rc<dyn Tunnel>> {
        self.watch.read_by(NEVER);
        if !self.no_delay.get() && request.with_location(|l| l.core.tcp_nodelay.unwrap_or(true)) {
            // Only costs latency if it fails.
            self.no_delay.set(self.stream.borrow().set_no_delay(true).is_ok());
        }
        Some(self)
    }

    fn is_broken(&self) -> bool {
        self.broken.get()
    }

    fn with_descriptor(&self, f: &mut dyn FnMut(BorrowedFd<'_>)) {
        // Without a descriptor there is nothing to ask.
        let _ = self.stream.borrow().descriptor().map(f);
    }
}
