//! A client of HTTP/3 on the rig's QUIC.

use super::{PATIENCE, Response, Written, quic};
use quinn_proto::{Dir, StreamId};
use wire::h3::frame::{FrameHead, integer, kind, push_integer, setting, stream};
use wire::hpack::{Fields, Limits};
use wire::qpack::{Decoder, Encoder, Section};

pub(crate) const LIMITS: Limits = Limits { string: 1 << 20, total: 1 << 20, fields: 1000 };

pub(crate) fn frame(kind: u64, payload: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    FrameHead { kind, len: payload.len() as u64 }.write(&mut out);
    out.extend_from_slice(payload);
    out
}

pub(crate) fn varint(value: u64) -> Vec<u8> {
    let mut out = Vec::new();
    push_integer(value, &mut out);
    out
}

pub(crate) fn section(fields: &[(&str, &str)]) -> Vec<u8> {
    let (mut encoder, mut out) = (Encoder::default(), Vec::new());
    encoder.begin();
    fields.iter().for_each(|(name, value)| encoder.field(name.as_bytes(), value.as_bytes(), &mut Vec::new()));
    encoder.finish(0, &mut out);
    out
}

/// HEADERS of a request.
pub(crate) fn head(method: &str, path: &str, more: &[(&str, &str)]) -> Vec<u8> {
    let first = [(":method", method), (":scheme", "https"), (":path", path), (":authority", "localhost")];
    let named = more.iter().any(|field| field.0 == "host");
    let first = if named { &first[..3] } else { &first[..] };
    frame(kind::HEADERS, &section(&[first, more].concat()))
}

type Pairs = Vec<(String, String)>;

/// What has come of an answer.
#[derive(Debug, Default)]
pub(crate) struct Reply {
    /// Informational heads.
    pub(crate) interim: Vec<Pairs>,
    pub(crate) status: u16,
    pub(crate) fields: Pairs,
    pub(crate) body: Vec<u8>,
    pub(crate) trailers: Pairs,
    pub(crate) ended: bool,
    pub(crate) reset: Option<u64>,
}

impl Reply {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.fields.iter().find(|field| field.0 == name).map(|field| field.1.as_str())
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

/// A connection.
pub(crate) struct Client {
    pub(crate) quic: quic::Client,
    pub(crate) control: StreamId,
    table: Decoder,
    decoder: Option<StreamId>,
    /// How much of the server's encoder stream is in the table.
    inserted: usize,
}

impl Client {
    /// A connection whose settings offer no table.
    pub(crate) fn connect(port: u16) -> Client {
        Client::with_table(port, 0)
    }

    /// One that offers a table of so many bytes.
    pub(crate) fn with_table(port: u16, capacity: u64) -> Client {
        Client::with(port, capacity, &quic::Wishes::new(b"h3"))
    }

    pub(crate) fn with(port: u16, capacity: u64, wishes: &quic::Wishes) -> Client {
        let mut quic = quic::Client::connect(port, wishes).unwrap();
        let control = quic.open(Dir::Uni);
        let settings = [varint(setting::QPACK_MAX_TABLE_CAPACITY), varint(capacity)].concat();
        quic.send(control, &[varint(stream::CONTROL), frame(kind::SETTINGS, &settings)].concat(), false);
        Client { quic, control, table: Decoder::new(usize::try_from(capacity).unwrap()), inserted: 0, decoder: None }
    }

    /// Sends a head, and the stream's end if `end`.
    pub(crate) fn open(&mut self, method: &str, path: &str, fields: &[(&str, &str)], end: bool) -> StreamId {
        let id = self.quic.open(Dir::Bi);
        self.quic.send(id, &head(method, path, fields), end);
        id
    }

    /// Sends a piece of a body.
    pub(crate) fn data(&mut self, id: StreamId, bytes: &[u8], end: bool) {
        self.quic.send(id, &frame(kind::DATA, bytes), end);
    }

    /// Sends a whole request.
    pub(crate) fn request(&mut self, method: &str, path: &str, fields: &[(&str, &str)], body: Option<&[u8]>) -> StreamId {
        let id = self.open(method, path, fields, body.is_none());
        if let Some(body) = body {
            self.data(id, body, true);
        }
        id
    }

    /// The answer to a request for a path.
    pub(crate) fn get(&mut self, path: &str) -> Reply {
        let id = self.request("GET", path, &[], None);
        self.reply(id)
    }

    /// Goes on until something is so.
    pub(crate) fn until(&mut self, mut so: impl FnMut(&mut Client) -> bool) {
        let end = std::time::Instant::now() + PATIENCE;
        while !so(self) {
            assert!(std::time::Instant::now() < end, "nothing more comes; lost: {:?}", self.quic.lost);
            self.quic.turn(std::time::Duration::from_millis(20));
        }
    }

    /// Tells the server which of its insertions are there.
    pub(crate) fn acknowledge(&mut self) {
        let id = *self.decoder.get_or_insert_with(|| {
            let id = self.quic.open(Dir::Uni);
            self.quic.send(id, &varint(stream::DECODER), false);
            id
        });
        let mut told = Vec::new();
        self.table.increment(&mut told);
        self.quic.send(id, &told, false);
        self.quic.turn(std::time::Duration::from_millis(20));
    }

    /// Waits for the end of an answer.
    pub(crate) fn reply(&mut self, id: StreamId) -> Reply {
        self.quic.until(|quic| {
            let got = quic.received(id);
            got.ended || got.reset.is_some() || quic.lost.is_some()
        });
        self.peek(id)
    }

    /// The server's own stream of a type, without that.
    pub(crate) fn own(&self, kind: u64) -> Vec<u8> {
        let mut all = self.quic.streams.iter().filter(|(id, _)| id.dir() == Dir::Uni && id.initiator() == quinn_proto::Side::Server);
        let found = all.find_map(|(_, got)| integer(&got.bytes).filter(|found| found.0 == kind).map(|(_, at)| got.bytes[at..].to_vec()));
        found.unwrap_or_default()
    }

    /// The stream that the server's last GOAWAY names.
    pub(crate) fn goaway(&self) -> Option<u64> {
        let control = self.own(stream::CONTROL);
        let (mut rest, mut found) = (&control[..], None);
        while let Some((head, at)) = FrameHead::parse(rest) {
            let payload = rest.get(at..at + head.len as usize)?;
            if head.kind == kind::GOAWAY {
                found = integer(payload).map(|(id, _)| id);
            }
            rest = &rest[at + payload.len()..];
        }
        found
    }

    /// What has come of an answer so far.
    pub(crate) fn peek(&mut self, id: StreamId) -> Reply {
        let insertions = self.own(stream::ENCODER);
        self.table.instructions(&insertions[self.inserted..], &LIMITS).unwrap();
        self.inserted = insertions.len();
        let got = self.quic.received(id);
        let mut reply = Reply { ended: got.ended, reset: got.reset, ..Reply::default() };
        let mut rest = &got.bytes[..];
        while let Some((head, at)) = FrameHead::parse(rest) {
            let end = at + head.len as usize;
            let payload = &rest[at..end.min(rest.len())];
            match head.kind {
                kind::DATA => reply.body.extend_from_slice(payload),
                kind::HEADERS if rest.len() >= end => self.head(payload, &mut reply),
                kind::HEADERS => {}
                other => panic!("a frame of type {other}"),
            }
            rest = rest.get(end..).unwrap_or_default();
        }
        reply
    }

    fn head(&self, section: &[u8], reply: &mut Reply) {
        let mut fields = Fields::default();
        let decoded = self.table.decode(section, &LIMITS, &mut fields).unwrap();
        assert!(matches!(decoded, Section::Decoded { .. }), "an answer's head never waits");
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let mut pairs: Pairs = fields.iter().map(|(name, value)| (text(name), text(value))).collect();
        if pairs.first().is_none_or(|first| first.0 != ":status") {
            reply.trailers = pairs;
            return;
        }
        let status: u16 = pairs.remove(0).1.parse().unwrap();
        if status < 200 {
            reply.interim.push(pairs);
        } else {
            (reply.status, reply.fields) = (status, pairs);
        }
    }
}

/// Sends the request of an example and answers what comes back, trailers behind the headers.
///
/// # Errors
/// Those of the connection, and a stream that was reset without an answer.
pub(crate) fn exchange(port: u16, block: &str) -> std::io::Result<Response> {
    let written = Written::read(block);
    let mut client = Client::connect(port);
    let stream = client.request(written.method, written.path, &written.fields(), written.body);
    let reply = client.reply(stream);
    if reply.status == 0 {
        return Err(std::io::Error::other(format!("no answer: reset {:?}, lost {:?}", reply.reset, client.quic.lost)));
    }
    let headers = [reply.fields, reply.trailers].concat();
    Ok(Response { status: reply.status, headers, body: reply.body })
}
