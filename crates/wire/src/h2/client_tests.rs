//! A client for tests: hand-written frames, and the server's frames as a list.

use super::error::{ErrorCode, Failure};
use super::frame::{self, FrameHead, PREFACE, kind};
use super::{Codec, Config, Event};

/// What the server sent, as far as tests look at it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Sent {
    Headers(u32, bool),
    Data(u32, usize, bool),
    Reset(u32, u32),
    GoAway(u32, u32),
    Ping([u8; 8]),
    Ack,
    Window(u32, u32),
}

pub(super) struct Client {
    pub(super) server: Codec,
    pub(super) out: Vec<u8>,
    pub(super) failure: Option<Failure>,
    /// Events in short.
    pub(super) events: Vec<String>,
    /// Answer each complete request with a head and five bytes, close its stream, and release bodies.
    pub(super) answering: bool,
    /// The most that waited in `out`.
    pub(super) peak: usize,
    pending: Vec<u8>,
}

impl Client {
    pub(super) fn with(config: Config) -> Self {
        let mut out = vec![];
        let server = Codec::new(config, &mut out);
        let mut client = Self { server, out, failure: None, events: vec![], answering: true, peak: 0, pending: vec![] };
        client.bytes(PREFACE);
        client.frame(kind::SETTINGS, 0, 0, b"");
        client.frame(kind::SETTINGS, 1, 0, b"");
        client.out.clear();
        client
    }

    pub(super) fn new() -> Self {
        Self::with(Config::default())
    }

    pub(super) fn frame(&mut self, kind: u8, flags: u8, stream: u32, payload: &[u8]) -> &mut Self {
        let mut all = vec![];
        FrameHead { len: payload.len(), kind, flags, stream }.write(&mut all);
        all.extend_from_slice(payload);
        self.bytes(&all)
    }

    pub(super) fn bytes(&mut self, bytes: &[u8]) -> &mut Self {
        self.pending.extend_from_slice(bytes);
        let input = std::mem::take(&mut self.pending);
        let mut used = 0;
        self.server.begin_turn(1);
        while self.failure.is_none() {
            match self.server.poll(&input[used..], &mut self.out) {
                Ok(poll) => {
                    used += poll.used;
                    let Some(event) = poll.event else { break };
                    self.take(event);
                }
                Err(failure) => self.failure = Some(failure),
            }
        }
        self.peak = self.peak.max(self.out.len());
        self.pending = input[used..].to_vec();
        self
    }

    fn take(&mut self, event: Event<'_>) {
        let (stream, complete, broken) = match event {
            Event::Request { stream, head, end, .. } => {
                let fault = head.fault.map(|fault| String::from_utf8_lossy(&fault.message(self.server.fields().bytes())).into_owned());
                self.events.push(format!("request {stream} {end} {}", fault.unwrap_or_default()).trim_end().to_owned());
                (stream, end, head.fault.is_some())
            }
            Event::Data { stream, data, end, fault } => {
                let text = fault.map(|fault| fault.to_string()).unwrap_or_default();
                self.events.push(format!("data {stream} {} {end} {text}", data.len()).trim_end().to_owned());
                self.server.release(stream, data.len(), &mut self.out);
                (stream, end, fault.is_some())
            }
            Event::Trailers { stream, fault, body } => {
                self.events.push(format!("trailers {stream}{}", if fault.is_some() || body.is_some() { " bad" } else { "" }));
                (stream, true, fault.is_some() || body.is_some())
            }
            Event::Reset { stream, .. } | Event::StreamError { stream, .. } => {
                let by = if matches!(event, Event::Reset { .. }) { "reset" } else { "error" };
                self.events.push(format!("{by} {stream}"));
                self.server.close(stream, &mut self.out);
                return;
            }
            other => return self.events.push(format!("{other:?}")),
        };
        if self.answering && (complete || broken) {
            self.answer(stream, broken);
        }
    }

    /// A malformed request gets 400 and is then reset.
    pub(super) fn answer(&mut self, stream: u32, broken: bool) {
        let fields = [(&b"server"[..], &b"test"[..])];
        self.server.respond(stream, if broken { 400 } else { 200 }, fields, false, &mut self.out);
        self.server.data(stream, b"hello", !broken, &mut self.out);
        if broken {
            self.server.reset(stream, ErrorCode::PROTOCOL_ERROR, &mut self.out);
        }
        self.server.close(stream, &mut self.out);
    }

    pub(super) fn get(&mut self, stream: u32) -> &mut Self {
        self.frame(kind::HEADERS, 5, stream, GET)
    }

    pub(super) fn post(&mut self, stream: u32) -> &mut Self {
        self.frame(kind::HEADERS, 4, stream, GET)
    }

    /// What was sent since the last call.
    pub(super) fn sent(&mut self) -> Vec<Sent> {
        let out = std::mem::take(&mut self.out);
        let mut rest = &out[..];
        let mut all = vec![];
        while let Some(head) = FrameHead::parse(rest) {
            let payload = &rest[frame::HEAD..][..head.len];
            let word = |at| frame::u32_at(payload, at);
            match head.kind {
                kind::HEADERS => all.push(Sent::Headers(head.stream, head.has(1))),
                kind::DATA => all.push(Sent::Data(head.stream, head.len, head.has(1))),
                kind::RST_STREAM => all.push(Sent::Reset(head.stream, word(0))),
                kind::GOAWAY => all.push(Sent::GoAway(word(0), word(4))),
                kind::PING if head.has(1) => all.push(Sent::Ping(payload.try_into().unwrap())),
                kind::SETTINGS if head.has(1) => all.push(Sent::Ack),
                kind::WINDOW_UPDATE => all.push(Sent::Window(head.stream, word(0))),
                _ => {}
            }
            rest = &rest[frame::HEAD + head.len..];
        }
        assert!(rest.is_empty());
        all
    }

    /// The failure's code.
    pub(super) fn code(&self) -> Option<u32> {
        self.failure.as_ref().map(|failure| failure.code.0)
    }
}

/// `GET https://a/`.
pub(super) const GET: &[u8] = b"\x82\x87\x84\x01\x01a";
