//! An HTTP/2 client in clear text: requests side by side, and frames by hand.

use super::{PATIENCE, Response, Written};
use std::collections::BTreeMap;
use std::io::{self, ErrorKind, Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};
use wire::h2::frame::{self, FrameHead, HEAD, PREFACE, flag, kind};
use wire::hpack::{Decoder, Encoder, Fields, Limits};

/// What has come on a stream.
#[derive(Debug, Default)]
pub(crate) struct Reply {
    /// Statuses of informational answers.
    pub(crate) interim: Vec<u16>,
    pub(crate) answer: Response,
    pub(crate) trailers: Vec<(String, String)>,
    pub(crate) reset: Option<u32>,
    pub(crate) ended: bool,
    /// What may still be sent on the stream.
    window: i64,
}

impl Reply {
    fn is_over(&self) -> bool {
        self.ended || self.reset.is_some()
    }
}

/// A connection.
pub(crate) struct Client {
    socket: TcpStream,
    input: Vec<u8>,
    encoder: Encoder,
    decoder: Decoder,
    next: u32,
    window: i64,
    first_window: i64,
    pub(crate) replies: BTreeMap<u32, Reply>,
    /// Last stream and code of GOAWAY.
    pub(crate) goaway: Option<(u32, u32)>,
    pub(crate) pongs: usize,
    pub(crate) closed: bool,
    /// What was received is given back to the server's windows.
    pub(crate) takes: bool,
    /// PINGs are not answered.
    pub(crate) silent: bool,
}

impl Client {
    /// Connects; streams may send as much as `window`.
    pub(crate) fn with_window(port: u16, window: u32) -> Client {
        let socket = TcpStream::connect(("127.0.0.1", port)).unwrap();
        socket.set_nodelay(true).unwrap();
        socket.set_read_timeout(Some(Duration::from_millis(20))).unwrap();
        socket.set_write_timeout(Some(PATIENCE)).unwrap();
        let mut client = Client {
            socket,
            input: Vec::new(),
            encoder: Encoder::default(),
            decoder: Decoder::new(4096),
            next: 1,
            window: 65_535,
            first_window: 65_535,
            replies: BTreeMap::new(),
            goaway: None,
            pongs: 0,
            closed: false,
            takes: true,
            silent: false,
        };
        let mut first = PREFACE.to_vec();
        // 4: INITIAL_WINDOW_SIZE
        frame::settings(&[(4, window)], &mut first);
        frame::window_update(0, 1 << 30, &mut first);
        client.send(&first);
        client
    }

    pub(crate) fn connect(port: u16) -> Client {
        Client::with_window(port, 1 << 24)
    }

    /// Waits no longer than this for bytes at a time.
    pub(crate) fn wait_at_most(&self, time: Duration) {
        self.socket.set_read_timeout(Some(time)).unwrap();
    }

    /// Sends bytes as they are; the server may have closed.
    pub(crate) fn send(&mut self, bytes: &[u8]) {
        if self.socket.write_all(bytes).is_err() {
            self.closed = true;
        }
    }

    pub(crate) fn frame(&mut self, kind: u8, flags: u8, stream: u32, payload: &[u8]) {
        let mut bytes = Vec::new();
        FrameHead { len: payload.len(), kind, flags, stream }.write(&mut bytes);
        bytes.extend_from_slice(payload);
        self.send(&bytes);
    }

    /// The header block of a request.
    pub(crate) fn block(&mut self, fields: &[(&str, &str)]) -> Vec<u8> {
        let mut block = Vec::new();
        self.encoder.begin(&mut block);
        for (name, value) in fields {
            self.encoder.field(name.as_bytes(), value.as_bytes(), &mut block);
        }
        block
    }

    /// Opens a stream with these fields, pseudo-headers first.
    pub(crate) fn open(&mut self, fields: &[(&str, &str)], end: bool) -> u32 {
        let block = self.block(fields);
        let stream = self.next;
        self.next += 2;
        self.replies.insert(stream, Reply { window: self.first_window, ..Reply::default() });
        self.frame(kind::HEADERS, flag::END_HEADERS | if end { flag::END_STREAM } else { 0 }, stream, &block);
        stream
    }

    /// Sends a request; `None` for no body, which is another thing than an empty one.
    pub(crate) fn request(&mut self, method: &str, path: &str, headers: &[(&str, &str)], body: Option<&[u8]>) -> u32 {
        let mut fields = vec![(":method", method), (":scheme", "http"), (":path", path)];
        if !headers.iter().any(|(name, _)| matches!(*name, ":authority" | "host")) {
            fields.push((":authority", "localhost"));
        }
        fields.extend_from_slice(headers);
        let stream = self.open(&fields, body.is_none());
        if let Some(body) = body {
            self.data(stream, body, true);
        }
        stream
    }

    /// A POST that says `length` of its body, head and body in one write.
    pub(crate) fn post_of_length(&mut self, path: &str, length: &str, body: &[u8]) -> u32 {
        let fields = [(":method", "POST"), (":scheme", "http"), (":path", path), (":authority", "localhost"), ("content-length", length)];
        let block = self.block(&fields);
        let stream = self.next;
        self.next += 2;
        self.replies.insert(stream, Reply { window: self.first_window, ..Reply::default() });
        let mut bytes = Vec::new();
        for (kind, flags, payload) in [(kind::HEADERS, flag::END_HEADERS, &block[..]), (kind::DATA, flag::END_STREAM, body)] {
            FrameHead { len: payload.len(), kind, flags, stream }.write(&mut bytes);
            bytes.extend_from_slice(payload);
        }
        self.send(&bytes);
        stream
    }

    /// Sends content as the windows allow.
    pub(crate) fn data(&mut self, stream: u32, mut body: &[u8], end: bool) {
        loop {
            let room = self.window.min(self.replies.get(&stream).map_or(0, |reply| reply.window)).clamp(0, 16_384) as usize;
            let (part, rest) = body.split_at(room.min(body.len()));
            let last = rest.is_empty();
            if !part.is_empty() || last {
                self.window -= part.len() as i64;
                self.replies.get_mut(&stream).unwrap().window -= part.len() as i64;
                self.frame(kind::DATA, u8::from(end && last), stream, part);
            }
            body = rest;
            if last || self.closed || self.replies[&stream].is_over() {
                return;
            }
            if room == 0 {
                self.poll();
            }
        }
    }

    pub(crate) fn reset(&mut self, stream: u32, code: u32) {
        self.frame(kind::RST_STREAM, 0, stream, &code.to_be_bytes());
    }

    /// Reads what has come, waiting a moment at most.
    pub(crate) fn poll(&mut self) {
        let mut buffer = [0; 65_536];
        match self.socket.read(&mut buffer) {
            Ok(0) => self.closed = true,
            Ok(n) => {
                self.input.extend_from_slice(&buffer[..n]);
                self.take();
            }
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut | ErrorKind::Interrupted) => {}
            Err(_) => self.closed = true,
        }
    }

    /// Reads until something is so, or the server closes.
    pub(crate) fn until(&mut self, what: &str, is_so: impl Fn(&Client) -> bool) {
        let end = Instant::now() + PATIENCE;
        while !is_so(self) && !self.closed {
            assert!(Instant::now() < end, "waited in vain for {what}");
            self.poll();
        }
    }

    /// The whole answer on a stream, or how far it came.
    pub(crate) fn reply(&mut self, stream: u32) -> Reply {
        self.until("an answer", |client| client.replies[&stream].is_over());
        self.replies.remove(&stream).unwrap()
    }

    pub(crate) fn get(&mut self, path: &str) -> Reply {
        let stream = self.request("GET", path, &[], None);
        self.reply(stream)
    }

    fn take(&mut self) {
        let mut used = 0;
        let input = std::mem::take(&mut self.input);
        while let Some(head) = FrameHead::parse(&input[used..]) {
            let Some(payload) = input.get(used + HEAD..used + HEAD + head.len) else { break };
            used += HEAD + head.len;
            self.take_frame(head, payload);
        }
        self.input = input[used..].to_vec();
    }

    fn take_frame(&mut self, head: FrameHead, payload: &[u8]) {
        let number = |at: usize| payload.get(at..at + 4).map_or(0, |four| u32::from_be_bytes(four.try_into().unwrap()));
        match head.kind {
            kind::HEADERS => self.take_head(head, payload),
            kind::DATA => {
                if let Some(reply) = self.replies.get_mut(&head.stream) {
                    reply.answer.body.extend_from_slice(payload);
                    reply.ended |= head.has(flag::END_STREAM);
                }
                if self.takes && !payload.is_empty() {
                    let mut out = Vec::new();
                    frame::window_update(0, payload.len() as u32, &mut out);
                    frame::window_update(head.stream, payload.len() as u32, &mut out);
                    self.send(&out);
                }
            }
            kind::RST_STREAM => {
                if let Some(reply) = self.replies.get_mut(&head.stream) {
                    reply.reset = Some(number(0));
                }
            }
            kind::GOAWAY => self.goaway = Some((number(0), number(4))),
            kind::PING if head.has(flag::ACK) => self.pongs += 1,
            kind::PING if self.silent => {}
            kind::PING => self.frame(kind::PING, flag::ACK, 0, payload),
            kind::SETTINGS if !head.has(flag::ACK) => {
                for parameter in payload.chunks(6).filter(|parameter| parameter[..2] == [0, 4]) {
                    self.first_window = i64::from(u32::from_be_bytes(parameter[2..].try_into().unwrap()));
                }
                self.frame(kind::SETTINGS, flag::ACK, 0, &[]);
            }
            kind::WINDOW_UPDATE if head.stream == 0 => self.window += i64::from(number(0)),
            kind::WINDOW_UPDATE => {
                if let Some(reply) = self.replies.get_mut(&head.stream) {
                    reply.window += i64::from(number(0));
                }
            }
            _ => {}
        }
    }

    fn take_head(&mut self, head: FrameHead, payload: &[u8]) {
        assert!(head.has(flag::END_HEADERS), "tests have short heads");
        let mut fields = Fields::default();
        let limits = Limits { string: 1 << 16, total: 1 << 16, fields: 1000 };
        self.decoder.decode(payload, true, &limits, &mut fields).unwrap();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let all: Vec<_> = fields.iter().map(|(name, value)| (text(name), text(value))).collect();
        let Some(reply) = self.replies.get_mut(&head.stream) else { return };
        reply.ended |= head.has(flag::END_STREAM);
        let status = all.first().filter(|(name, _)| name == ":status").map(|(_, value)| value.parse().unwrap());
        match status {
            Some(status @ 100..200) => reply.interim.push(status),
            Some(status) => {
                reply.answer.status = status;
                reply.answer.headers = all.into_iter().skip(1).collect();
            }
            None => reply.trailers = all,
        }
    }
}

/// Sends one request, written as in HTTP/1 but without its framing, on a connection of its own; trailers stand behind the headers.
///
/// # Errors
/// Those of the connection, and a stream that was reset without an answer.
pub(crate) fn exchange(port: u16, block: &str) -> io::Result<Response> {
    let written = Written::read(block);
    let mut client = Client::connect(port);
    let stream = client.request(written.method, written.path, &written.fields(), written.body);
    let mut reply = client.reply(stream);
    if reply.answer.status == 0 {
        return Err(io::Error::other(format!("no answer: reset {:?}, GOAWAY {:?}", reply.reset, client.goaway)));
    }
    reply.answer.headers.append(&mut reply.trailers);
    Ok(reply.answer)
}
