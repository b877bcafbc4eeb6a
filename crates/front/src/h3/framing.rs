//! Encoding of responses on the streams of a connection.

use super::connection::{Application, H3, SMALL, StreamState};
use crate::buffers;
use crate::streams::carrier::Carrier;
use crate::streams::hub::Hub;
use bytes::Bytes;
use http::chain::FilePiece;
use http::http3::Http3;
use http::line::Version;
use http::{Headers, Location, Server};
use net::quic::StreamId;
use std::io;
use wire::h3::error::Code;
use wire::hpack::{FieldList, Fields};

/// The most content of one turn.
const CHUNK: usize = 64 * 1024;

impl H3 {
    /// Writes content as it is, behind the head of its frame, and as much as the transport takes.
    fn write_content(&self, id: u64, part: &[u8]) -> usize {
        if !self.flush(id) {
            return 0;
        }
        let taken = self.quic.write(StreamId(id), part).unwrap_or(0);
        self.with_wire(id, |wire| wire.frame = wire.frame.saturating_sub(taken));
        taken
    }

    /// Hands content over without a copy. What the transport does not take of a piece that it has begun to take is kept for it, so that
    /// nothing is read twice.
    fn share(&self, id: u64, mut content: Bytes, end: bool) -> usize {
        let wanted = content.len();
        self.with_wire(id, |wire| {
            if wire.frame == 0 {
                wire.out = buffers::take();
                if self.speech == Application::H3 {
                    self.codec.borrow_mut().data_head(wanted, &mut wire.out);
                }
                wire.frame = wanted;
            }
            content.truncate(wire.frame);
        });
        if !self.flush(id) {
            return 0;
        }
        let length = content.len();
        let taken = self.quic.write_shared(StreamId(id), &mut content).unwrap_or(0);
        if taken == 0 {
            return 0;
        }
        self.with_wire(id, |wire| {
            wire.frame = wire.frame.saturating_sub(length);
            wire.unsent = content;
            if end && length == wanted && wire.frame == 0 {
                wire.end();
            }
        });
        H3::queue_send(self, id);
        length
    }

    fn content(&self, id: u64, part: &[u8]) -> usize {
        let missing = self.with_wire(id, |wire| wire.frame).unwrap_or(0);
        if missing > 0 {
            return self.write_content(id, part.get(..missing).unwrap_or(part));
        }
        if part.is_empty() {
            return 0;
        }
        let small = part.len() <= SMALL;
        self.with_wire(id, |wire| {
            if wire.out.capacity() == 0 {
                wire.out = buffers::take();
            }
            if self.speech == Application::H3 {
                self.codec.borrow_mut().data_head(part.len(), &mut wire.out);
            }
            if small {
                wire.out.extend_from_slice(part);
            } else {
                wire.frame = part.len();
            }
        });
        if small { part.len() } else { self.write_content(id, part) }
    }
}

impl Carrier for H3 {
    type Id = u64;
    type Code = Code;
    type Own = ();

    const VERSION: Version = Version::Http3;
    const FRAME_HEAD: u64 = 3;
    const FAILED: Code = Code::INTERNAL_ERROR;
    const SLOW: Code = Code::GENERAL_PROTOCOL_ERROR;
    const MALFORMED: Option<Code> = None;

    fn hub(&self) -> &Hub<u64, Code> {
        &self.hub
    }

    fn with_fields<R>(&self, f: impl FnOnce(&Fields) -> R) -> R {
        let result = f(self.codec.borrow().fields());
        self.codec.borrow_mut().fields_read();
        result
    }

    fn enabled_on(&self, server: &Server) -> bool {
        let own = server.conf.share::<Http3>().unwrap_or_default();
        match self.speech {
            Application::H3 => own.is_on(),
            Application::Hq => own.is_hq(),
        }
    }

    fn chunk(&self, _: &Location) -> usize {
        CHUNK
    }

    fn queue_send(&self, id: u64, (): &()) {
        H3::queue_send(self, id);
    }

    fn quota(&self, id: u64, (): &()) -> usize {
        let gathered = self.with_wire(id, |wire| wire.out.len()).unwrap_or(0);
        if gathered > 2 * SMALL { 0 } else { self.quic.capacity(StreamId(id)) }
    }

    /// A client that is asked to stop does so, and does not treat it as a failure (RFC 9114, 4.1).
    fn is_receiving(&self, _: u64, (): &()) -> bool {
        false
    }

    fn release(&self, id: u64, (): &(), _: usize) {
        if self.with_wire(id, StreamState::resume).unwrap_or(false) {
            self.resume.borrow_mut().push(id);
            self.hub.kick();
        }
    }

    fn request_body(&self, id: u64, (): &()) {
        self.release(id, &(), 0);
    }

    fn discard(&self, id: u64, (): &()) {
        if self.with_wire(id, StreamState::discard).unwrap_or(false) {
            self.quic.stop_sending(StreamId(id), Code::NO_ERROR.0);
        }
    }

    fn respond(&self, id: u64, (): &(), status: u16, fields: &FieldList, end: bool) -> usize {
        let size = self.with_wire(id, |wire| {
            if wire.out.capacity() == 0 {
                wire.out = buffers::take();
            }
            let before = wire.out.len();
            if self.speech == Application::H3 {
                self.codec.borrow_mut().respond(id, status, fields, &mut wire.out);
            }
            if end {
                wire.end();
            }
            wire.out.len() - before
        });
        H3::queue_send(self, id);
        size.unwrap_or(0)
    }

    fn data(&self, id: u64, (): &(), part: &[u8], end: bool) -> usize {
        let taken = self.content(id, part);
        if end && taken == part.len() {
            self.with_wire(id, StreamState::end);
            H3::queue_send(self, id);
        }
        taken
    }

    fn file(&self, id: u64, (): &(), file: &FilePiece, length: usize, end: bool) -> io::Result<usize> {
        if length == 0 {
            return Ok(0);
        }
        if length <= SMALL {
            let mut content = buffers::take();
            let read = sys::descriptor::read_exact_at(&*file.file, &mut content, file.start, length);
            let taken = read.map(|()| self.data(id, &(), &content, end));
            buffers::put(content);
            return taken;
        }
        if !self.flush(id) {
            return Ok(0);
        }
        // The transport keeps it as it is.
        let mut content = Vec::with_capacity(length);
        sys::descriptor::read_exact_at(&*file.file, &mut content, file.start, length)?;
        Ok(self.share(id, Bytes::from(content), end))
    }

    fn trailers(&self, id: u64, (): &(), fields: &Headers) {
        self.with_wire(id, |wire| {
            if self.speech == Application::H3 {
                self.codec.borrow_mut().headers(id, None, fields.iter(), &mut wire.out);
            }
            wire.end();
        });
        H3::queue_send(self, id);
    }

    fn close(&self, id: u64, (): &(), code: Option<Code>) {
        // What was gathered last is handed over first.
        self.flush(id);
        self.close_stream(id, code);
    }

    fn send_pending(&self, more: bool) -> bool {
        let others = more && self.pump();
        self.flush_own();
        others
    }

    fn has_unsent(&self) -> bool {
        self.has_ready() || self.has_own()
    }
}
