//! The connection's state, and sent frames.

use super::error::Failure;
use super::frame::{self, FrameHead, kind, push_integer, setting};
use super::stream::{Request, UniStream};
use crate::h2::budget::{Budget, Class, Flood};
use crate::h2::priority::Priority;
use crate::h2::request::RequestHead;
use crate::hpack::{FieldList, Fields, Limits};
use crate::qpack::{Decoder, Encoder};
use crate::repeat::LastHead;
use std::collections::VecDeque;

/// The table that a client may use.
const TABLE: usize = 4096;
/// So much may wait on one of our own streams. Less is enough for a client that lets us send there at all.
const MAX_UNSENT: usize = 64 * 1024;
/// What a DATA frame without content costs.
pub(super) const EMPTY: i64 = 8;
/// So many streams may be given a priority before they are open (RFC 9218, 7.1).
const MAX_EARLY: usize = 8;

/// A longer field section is not remembered.
const LONGEST_REPEATED: usize = 512;

/// What a repeated field section was decoded to.
#[derive(Clone, Copy, Debug)]
pub(super) struct KnownSection {
    pub(super) head: RequestHead,
    /// How many insertions it needs.
    pub(super) required: u64,
    /// The length of its names and values, bytes.
    pub(super) useful: usize,
}

/// The limits of a connection, which its SETTINGS announce.
#[derive(Clone, Copy, Debug)]
pub struct Config {
    /// `http3_max_concurrent_streams`: of these all may wait for the table.
    pub max_streams: usize,
    /// What a field section may be.
    pub headers: Limits,
    /// Whether extended CONNECT (RFC 9220) is offered.
    pub connect_protocol: bool,
}

impl Default for Config {
    fn default() -> Self {
        Self { max_streams: 128, headers: Limits::default(), connect_protocol: false }
    }
}

/// A stream that the server opens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ServerStream {
    /// Settings and GOAWAY.
    Control,
    /// Insertions into the client's table.
    Encoder,
    /// What we know of the table.
    Decoder,
}

/// The server's side of a connection.
#[derive(Debug)]
pub struct Codec {
    pub(super) config: Config,
    pub(super) fields: Fields,
    pub(super) last_head: LastHead<KnownSection, LONGEST_REPEATED>,
    pub(super) decoder: Decoder,
    pub(super) encoder: Encoder,
    pub(super) requests: VecDeque<Request>,
    pub(super) unis: Vec<UniStream>,
    /// Types of the client's streams seen so far, a bit each.
    pub(super) opened: u8,
    /// Streams that wait for the table, and how many insertions each needs.
    pub(super) blocked: Vec<(u64, u64)>,
    pub(super) budget: Budget,
    /// Bytes of all streams, and those of them that were of use.
    pub(super) total: u64,
    pub(super) useful: u64,
    /// Priorities of streams that are not open yet.
    pub(super) early: Vec<(u64, Priority)>,
    /// Streams whose priority has changed.
    pub(super) changed: Vec<u64>,
    pub(super) max_push: Option<u64>,
    pub(super) peer_goaway: Option<u64>,
    /// The first stream that was not opened.
    next: u64,
    /// From this stream on none is taken.
    closing_at: Option<u64>,
    pub(super) control_out: Vec<u8>,
    pub(super) encoder_out: Vec<u8>,
    pub(super) decoder_out: Vec<u8>,
}

/// What a stream begins with that tells its type.
fn opening(kind: u64) -> Vec<u8> {
    let mut out = Vec::new();
    push_integer(kind, &mut out);
    out
}

impl Codec {
    /// A new connection; its settings wait in the buffer of [`ServerStream::Control`].
    #[must_use]
    pub fn new(config: Config) -> Self {
        let mut control_out = opening(frame::stream::CONTROL);
        let all = [
            (setting::QPACK_MAX_TABLE_CAPACITY, TABLE as u64),
            (setting::QPACK_BLOCKED_STREAMS, config.max_streams as u64),
            (setting::ENABLE_CONNECT_PROTOCOL, u64::from(config.connect_protocol)),
        ];
        let mut settings = Vec::new();
        for (id, value) in all.into_iter().filter(|setting| setting.1 > 0) {
            push_integer(id, &mut settings);
            push_integer(value, &mut settings);
        }
        FrameHead { kind: kind::SETTINGS, len: settings.len() as u64 }.write(&mut control_out);
        control_out.extend_from_slice(&settings);
        Self {
            fields: Fields::default(),
            last_head: LastHead::default(),
            decoder: Decoder::new(TABLE),
            encoder: Encoder::default(),
            requests: VecDeque::new(),
            unis: Vec::new(),
            opened: 0,
            blocked: Vec::new(),
            budget: Budget::new(config.max_streams),
            total: 0,
            useful: 0,
            early: Vec::new(),
            changed: Vec::new(),
            max_push: None,
            peer_goaway: None,
            next: 0,
            closing_at: None,
            control_out,
            encoder_out: opening(frame::stream::ENCODER),
            decoder_out: opening(frame::stream::DECODER),
            config,
        }
    }

    /// The caller has been woken; `seconds` is any clock that only goes forward.
    pub fn begin_turn(&mut self, seconds: u64) {
        self.budget.tick(seconds);
    }

    /// The fields of the last [`super::Event::Request`] or [`super::Event::Trailers`].
    #[must_use]
    pub fn fields(&self) -> &Fields {
        &self.fields
    }

    /// [`Codec::fields`] have been read: gives memory back that only few heads need.
    pub fn fields_read(&mut self) {
        self.fields.read();
    }

    /// How many streams of requests the caller has not closed.
    #[must_use]
    pub fn open(&self) -> usize {
        self.requests.len()
    }

    /// What is to be sent on a stream of ours; the caller takes out what it has sent.
    pub fn server_stream(&mut self, own: ServerStream) -> &mut Vec<u8> {
        match own {
            ServerStream::Control => &mut self.control_out,
            ServerStream::Encoder => &mut self.encoder_out,
            ServerStream::Decoder => {
                self.decoder.increment(&mut self.decoder_out);
                &mut self.decoder_out
            }
        }
    }

    /// Gives memory back that an idle connection need not hold.
    pub fn shrink(&mut self) {
        (self.fields, self.last_head) = (Fields::default(), LastHead::default());
        self.encoder.shrink();
        self.decoder.shrink();
        self.requests.shrink_to_fit();
        [&mut self.control_out, &mut self.encoder_out, &mut self.decoder_out].into_iter().for_each(Vec::shrink_to_fit);
    }

    /// The approximate heap memory of the connection, bytes.
    #[must_use]
    pub fn memory(&self) -> usize {
        let sections: usize = self.requests.iter().map(|request| request.memory()).sum();
        let out = self.control_out.capacity() + self.encoder_out.capacity() + self.decoder_out.capacity();
        sections
            + out
            + self.requests.capacity() * size_of::<Request>()
            + self.fields.memory()
            + self.last_head.memory()
            + self.decoder.memory()
            + self.encoder.memory()
    }

    pub(super) fn place(&self, id: u64) -> Result<usize, usize> {
        self.requests.binary_search_by_key(&id, |request| request.id)
    }

    /// The client has opened a stream for a request. False: it is not taken, and to be reset with REQUEST_REJECTED.
    ///
    /// # Errors
    /// The connection must end.
    pub fn open_request(&mut self, id: u64) -> Result<bool, Failure> {
        if self.closing_at.is_some_and(|last| id >= last) {
            self.budget.charge(Class::Reset, 1)?;
            return Ok(false);
        }
        self.next = self.next.max(id.saturating_add(4));
        let early = self.early.iter().position(|early| early.0 == id).map(|at| self.early.swap_remove(at).1);
        if let Err(place) = self.place(id) {
            self.requests.insert(place, Request::new(id, early));
        }
        Ok(true)
    }

    /// The first stream that the client has not opened yet.
    #[must_use]
    pub(crate) fn next_request(&self) -> u64 {
        self.next
    }

    /// Whether GOAWAY was sent.
    #[must_use]
    pub fn is_closing(&self) -> bool {
        self.closing_at.is_some()
    }

    /// Nothing is open and nothing new is taken.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.closing_at.is_some() && self.requests.is_empty()
    }

    /// Takes no more requests than those that are open, and says so.
    pub fn goaway(&mut self) {
        if self.closing_at.is_some() {
            return;
        }
        self.closing_at = Some(self.next);
        let mut id = Vec::new();
        push_integer(self.next, &mut id);
        FrameHead { kind: kind::GOAWAY, len: id.len() as u64 }.write(&mut self.control_out);
        self.control_out.extend_from_slice(&id);
    }

    /// Appends a HEADERS frame: `status` and fields, whose names are in lower case and which hold nothing of HTTP/1's connections; without a
    /// status they are trailers.
    pub fn headers<'f>(&mut self, id: u64, status: Option<u16>, fields: impl IntoIterator<Item = (&'f [u8], &'f [u8])>, out: &mut Vec<u8>) {
        self.encoder.begin();
        if let Some(status) = status {
            self.encoder.status(status);
        }
        for (name, value) in fields {
            self.encoder.field(name, value, &mut self.encoder_out);
        }
        self.frame_section(out, |encoder, _, out| encoder.finish(id, out));
    }

    /// As [`Self::headers`] of a response; cheaper for heads that repeat themselves.
    pub fn respond(&mut self, id: u64, status: u16, fields: &FieldList, out: &mut Vec<u8>) {
        self.frame_section(out, |encoder, instructions, out| encoder.head(id, status, fields, instructions, out));
    }

    /// Appends a HEADERS frame around what `section` appends.
    fn frame_section(&mut self, out: &mut Vec<u8>, section: impl FnOnce(&mut Encoder, &mut Vec<u8>, &mut Vec<u8>)) {
        // Room for a length of two bytes, which is enough for nearly all.
        let start = out.len();
        let [.., kind] = kind::HEADERS.to_be_bytes();
        out.extend_from_slice(&[kind, 0, 0]);
        section(&mut self.encoder, &mut self.encoder_out, out);
        let len = out.len() - start - 3;
        self.useful += len as u64;
        if let Ok(short) = u16::try_from(len)
            && short < 0x4000
        {
            if let Some(place) = out.get_mut(start + 1..start + 3) {
                place.copy_from_slice(&(short | 0x4000).to_be_bytes());
            }
        } else {
            let mut head = Vec::new();
            FrameHead { kind: kind::HEADERS, len: len as u64 }.write(&mut head);
            out.splice(start..start + 3, head);
        }
    }

    /// Appends the head of a DATA frame, behind which the caller puts `len` bytes.
    pub fn data_head(&mut self, len: usize, out: &mut Vec<u8>) {
        self.useful += len as u64;
        FrameHead { kind: kind::DATA, len: len as u64 }.write(out);
    }

    /// The caller is done with a stream; what may still come on it is not read.
    pub fn close_request(&mut self, id: u64) {
        let Ok(place) = self.place(id) else { return };
        let Some(request) = self.requests.remove(place) else { return };
        self.blocked.retain(|blocked| blocked.0 != id);
        if !request.is_whole() {
            self.decoder.cancel(id, &mut self.decoder_out);
        } else if !request.deaf {
            self.budget.refund_stream();
            self.budget.credit(Class::SmallData, 2 * EMPTY);
        }
    }

    /// The client has reset a stream or has stopped ours.
    ///
    /// # Errors
    /// It did so too often.
    pub fn reset_by_peer(&mut self) -> Result<(), Failure> {
        Ok(self.budget.charge(Class::Reset, 1)?)
    }

    /// A stream that waited for insertions and need not wait any more.
    pub fn next_unblocked(&mut self) -> Option<u64> {
        let inserted = self.decoder.inserted();
        let at = self.blocked.iter().position(|blocked| blocked.1 <= inserted)?;
        Some(self.blocked.swap_remove(at).0)
    }

    /// The stream's priority: what the client says last, in a field or a frame.
    #[must_use]
    pub fn priority(&self, id: u64) -> Priority {
        let found = self.place(id).ok().and_then(|place| self.requests.get(place)).and_then(|request| request.priority);
        found.unwrap_or_default()
    }

    /// A stream whose priority has changed.
    pub fn next_changed(&mut self) -> Option<u64> {
        self.changed.pop()
    }

    pub(super) fn prioritize(&mut self, id: u64, priority: Priority) {
        match self.place(id) {
            Ok(place) => {
                if let Some(request) = self.requests.get_mut(place) {
                    request.priority = Some(priority);
                    self.changed.push(id);
                }
            }
            Err(_) if id < self.next => {}
            Err(_) => {
                self.early.retain(|early| early.0 != id);
                if self.early.len() < MAX_EARLY {
                    self.early.push((id, priority));
                }
            }
        }
    }

    /// Counts what came. nginx's rule: what is of use must be an eighth of all, beyond a megabyte.
    pub(super) fn count(&mut self, total: usize, useful: usize) -> Result<(), Failure> {
        self.total += total as u64;
        self.useful += useful as u64;
        if self.total / 8 > self.useful + (1 << 20) {
            return Err(Flood(Class::Ignored).into());
        }
        let unsent = self.control_out.len().max(self.encoder_out.len()).max(self.decoder_out.len());
        if unsent > MAX_UNSENT {
            return Err(Flood(Class::Ignored).into());
        }
        Ok(())
    }
}
