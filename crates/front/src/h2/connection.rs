//! One HTTP/2 connection: the wire below its streams.

use crate::active::NEVER;
use crate::buffers;
use crate::input::Input;
use crate::protocol::{Accepted, Front};
use crate::streams::carrier::Carrier;
use crate::streams::hub::Hub;
use base::clock;
use http::chain::FilePiece;
use http::core::default;
use http::http2::Http2Output;
use http::line::Version;
use http::protocols::ServerProtocols;
use http::{Headers, Location, Server};
use net::stream::Stream as Socket;
use std::cell::{Cell, RefCell};
use std::io::{self, ErrorKind};
use std::rc::Rc;
use std::task::{Context, Poll};
use wire::h2::Codec;
use wire::h2::error::ErrorCode;
use wire::hpack::{FieldList, Fields};

/// The protocol's name.
pub const NAME: &str = "h2";

/// `http2_chunk_size`
const CHUNK: usize = 8 * 1024;

/// Frames are gathered up to this many bytes before they are written.
pub const GATHER: usize = 128 * 1024;

/// The state that all streams of a connection share.
pub struct H2 {
    /// What they need whatever the protocol is.
    pub hub: Hub<u32, ErrorCode>,
    /// The socket.
    pub socket: RefCell<Socket>,
    /// Bytes received.
    pub input: RefCell<Input>,
    /// The protocol.
    pub codec: RefCell<Codec>,
    /// Frames to send.
    pub out: RefCell<Vec<u8>>,
    /// How many bytes of them have left.
    sent: Cell<usize>,
    /// `TCP_NODELAY` has been set.
    pub no_delay: Cell<bool>,
}

impl H2 {
    /// A connection that speaks as `codec` says; `out` begins what it sends.
    pub fn new(front: Rc<Front>, opened: Accepted, codec: Codec, out: Vec<u8>) -> H2 {
        H2 {
            hub: Hub::new(front, opened.listener, opened.info, opened.watch, "HTTP/2"),
            socket: RefCell::new(opened.stream),
            input: RefCell::new(opened.input),
            codec: RefCell::new(codec),
            out: RefCell::new(out),
            sent: Cell::new(0),
            no_delay: Cell::new(opened.no_delay),
        }
    }

    /// Runs `f` on the protocol and the frames to send.
    pub(crate) fn with_codec<R>(&self, f: impl FnOnce(&mut Codec, &mut Vec<u8>) -> R) -> R {
        let mut out = self.out.borrow_mut();
        if out.capacity() == 0 {
            *out = buffers::take();
        }
        f(&mut self.codec.borrow_mut(), &mut out)
    }

    /// Bytes of frames that wait for the socket.
    pub fn unsent(&self) -> usize {
        self.out.borrow().len() - self.sent.get()
    }

    /// Frames what the streams have ready, best first, until enough is gathered. True: there may be more.
    pub(crate) fn pump(&self) -> bool {
        while self.unsent() < GATHER {
            let Some(id) = self.codec.borrow_mut().next_stream() else { return false };
            if let Some(stream) = self.hub.stream(id) {
                stream.send_some();
            }
        }
        true
    }

    /// Writes what the socket takes. True: everything has left.
    ///
    /// # Errors
    /// The connection is broken.
    pub fn try_send(&self) -> io::Result<bool> {
        if self.hub.broken.get() {
            return Err(ErrorKind::BrokenPipe.into());
        }
        let mut out = self.out.borrow_mut();
        while self.sent.get() < out.len() {
            let rest = out.get(self.sent.get()..).unwrap_or_default();
            match self.socket.borrow().try_write(rest) {
                Ok(n) => {
                    self.sent.set(self.sent.get() + n);
                    self.hub.watch.write_by(NEVER);
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    if !self.hub.watch.is_writing() {
                        let timeout = self.hub.listener.server.own.core.send_timeout.unwrap_or(default::TIMEOUT);
                        self.hub.watch.write_by(clock::monotonic_ms().saturating_add(timeout));
                    }
                    return Ok(false);
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => {
                    drop(out);
                    self.break_off();
                    return Err(error);
                }
            }
        }
        buffers::put(std::mem::take(&mut out));
        self.sent.set(0);
        Ok(true)
    }

    /// Reads what has arrived. `Ok(0)` is the end of the stream.
    pub fn poll_fill(&self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        let wanted = self.codec.borrow().left_of_frame();
        self.input.borrow_mut().poll_fill_with(&mut self.socket.borrow_mut(), cx, wanted)
    }

    /// The connection is lost: every stream learns of it.
    pub(crate) fn break_off(&self) {
        if self.hub.broken.get() {
            return;
        }
        self.out.take();
        self.sent.set(0);
        self.hub.break_off();
    }
}

impl Carrier for H2 {
    type Id = u32;
    type Code = ErrorCode;
    type Own = ();

    const VERSION: Version = Version::Http2;
    const FRAME_HEAD: u64 = 9;
    const FAILED: ErrorCode = ErrorCode::INTERNAL_ERROR;
    const SLOW: ErrorCode = ErrorCode::PROTOCOL_ERROR;
    const MALFORMED: Option<ErrorCode> = Some(ErrorCode::PROTOCOL_ERROR);

    fn hub(&self) -> &Hub<u32, ErrorCode> {
        &self.hub
    }

    fn with_fields<R>(&self, f: impl FnOnce(&Fields) -> R) -> R {
        let result = f(self.codec.borrow().fields());
        self.codec.borrow_mut().fields_read();
        result
    }

    fn enabled_on(&self, server: &Server) -> bool {
        let bit = 1 << self.hub.front.index_of(NAME);
        let own = server.conf.share::<ServerProtocols>().unwrap_or_default();
        (self.hub.listener.endpoint.requested | own.on) & bit != 0
    }

    fn chunk(&self, location: &Location) -> usize {
        let chunk = location.conf.share::<Http2Output>().and_then(|output| output.chunk);
        chunk.and_then(|bytes| usize::try_from(bytes).ok()).unwrap_or(CHUNK)
    }

    fn queue_send(&self, id: u32, (): &()) {
        self.codec.borrow_mut().queue(id);
    }

    fn quota(&self, id: u32, (): &()) -> usize {
        self.codec.borrow().quota(id)
    }

    fn is_receiving(&self, id: u32, (): &()) -> bool {
        self.codec.borrow().is_receiving(id)
    }

    fn release(&self, id: u32, (): &(), taken: usize) {
        self.with_codec(|codec, out| codec.release(id, taken, out));
    }

    fn request_body(&self, id: u32, (): &()) {
        self.with_codec(|codec, out| codec.enlarge_window(id, out));
    }

    fn discard(&self, id: u32, (): &()) {
        self.codec.borrow_mut().discard(id);
    }

    fn respond(&self, id: u32, (): &(), status: u16, fields: &FieldList, end: bool) -> usize {
        self.with_codec(|codec, out| {
            let before = out.len();
            if status < 200 {
                codec.respond(id, status, fields.iter(), end, out);
            } else {
                codec.respond_list(id, status, fields, end, out);
            }
            out.len().saturating_sub(before)
        })
    }

    fn data(&self, id: u32, (): &(), part: &[u8], end: bool) -> usize {
        self.with_codec(|codec, out| codec.data(id, part, end, out))
    }

    fn file(&self, id: u32, (): &(), file: &FilePiece, length: usize, end: bool) -> io::Result<usize> {
        self.with_codec(|codec, out| {
            let start = out.len();
            if length == 0 || !codec.data_head(id, length, end, out) {
                return Ok(0);
            }
            let read = sys::descriptor::read_exact_at(&*file.file, out, file.start, length);
            read.map(|()| length).inspect_err(|_| out.truncate(start))
        })
    }

    fn trailers(&self, id: u32, (): &(), fields: &Headers) {
        self.with_codec(|codec, out| codec.trailers(id, fields.iter(), out));
    }

    fn close(&self, id: u32, (): &(), code: Option<ErrorCode>) {
        self.with_codec(|codec, out| {
            if let Some(code) = code {
                codec.reset(id, code, out);
            }
            codec.close(id, out);
        });
    }

    fn send_pending(&self, more: bool) -> bool {
        let others = more && self.pump();
        // An error is the connection's, which then tells all its streams.
        let _ = self.try_send();
        others
    }

    fn has_unsent(&self) -> bool {
        self.unsent() > 0
    }
}
