//! h3load PORT PATH COUNT [CONNECTIONS [STREAMS [BODY]]]: sends COUNT requests over HTTP/3 and checks the answers.
//!
//! They go over CONNECTIONS connections (1), each with STREAMS requests at a time (1), with a body of BODY bytes (none). With COUNT 0 the
//! connections stay idle until standard input ends. `TABLE=1` lets both sides use a dynamic table, as browsers do.
// A measurement that cannot go on has failed.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, dead_code)]

#[path = "../lunette/tests/rig/quic.rs"]
mod quic;

use bytes::{Bytes, BytesMut};
use quinn_proto::{
    ClientConfig, Connection, ConnectionHandle, DatagramEvent, Dir, Endpoint, EndpointConfig, Event, Side, StreamEvent, StreamId,
};
use std::collections::HashMap;
use std::io::Read;
use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;
use std::time::{Duration, Instant};
use sys::udp::{ReceiveBatch, UdpOptions, prepare};
use wire::h3::frame::{FrameHead, kind, push_integer, setting, stream};
use wire::hpack::{Fields, Limits};
use wire::qpack::{Decoder, Encoder, Section};

/// For the rig.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);
const LIMITS: Limits = Limits { string: 1 << 20, total: 1 << 20, fields: 1000 };
const TABLE: u64 = 4096;

/// What all requests have in common.
struct Plan {
    path: String,
    streams: usize,
    body: Bytes,
    table: u64,
}

/// How it goes.
#[derive(Default)]
struct Tally {
    left: usize,
    done: usize,
    failed: usize,
    received: usize,
    bytes: usize,
}

#[derive(Default)]
struct Exchange {
    got: Vec<u8>,
    body: usize,
    /// What is left of the DATA frame that is being read.
    data: usize,
    status: u16,
    head: Option<Vec<u8>>,
    unsent: Bytes,
}

struct Client {
    handle: ConnectionHandle,
    quic: Connection,
    connected: bool,
    exchanges: HashMap<StreamId, Exchange>,
    own: HashMap<StreamId, Vec<u8>>,
    encoder: Encoder,
    decoder: Decoder,
    streams: [Option<StreamId>; 2],
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let number = |place: usize, usual: usize| arguments.get(place).map_or(usual, |text| text.parse().unwrap());
    let (port, count, connections) = (number(0, 0) as u16, number(2, 1), number(3, 1));
    let table = if std::env::var_os("TABLE").is_some() { TABLE } else { 0 };
    let plan = Plan { path: arguments[1].clone(), streams: number(4, 1), body: vec![b'x'; number(5, 0)].into(), table };
    let mut all = Load::new(port, connections, plan, count);
    all.run();
    let Tally { done, failed, received, bytes, .. } = all.tally;
    println!("{done} done, {failed} failed, {received} datagrams received, {bytes} bytes of bodies");
    assert!(failed == 0, "some failed");
}

struct Load {
    socket: UdpSocket,
    endpoint: Endpoint,
    clients: Vec<Client>,
    places: HashMap<ConnectionHandle, usize>,
    batch: ReceiveBatch,
    plan: Plan,
    tally: Tally,
}

impl Load {
    fn new(port: u16, connections: usize, plan: Plan, count: usize) -> Load {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        prepare(&socket, false, UdpOptions { gathers: true, complete: true });
        let server = SocketAddr::from(([127, 0, 0, 1], port));
        let mut endpoint = Endpoint::new(Arc::new(EndpointConfig::new(quic::key())), None, true, None);
        let wishes = quic::Wishes::new(b"h3");
        let config: ClientConfig = quic::client_config(&wishes);
        let (mut clients, mut places) = (Vec::new(), HashMap::new());
        for place in 0..connections {
            let (handle, quic) = endpoint.connect(Instant::now(), config.clone(), server, "localhost").unwrap();
            places.insert(handle, place);
            clients.push(Client {
                handle,
                quic,
                connected: false,
                exchanges: HashMap::new(),
                own: HashMap::new(),
                encoder: Encoder::default(),
                decoder: Decoder::new(plan.table as usize),
                streams: [None; 2],
            });
        }
        Load {
            socket,
            endpoint,
            clients,
            places,
            batch: ReceiveBatch::new(64, 65_536),
            plan,
            tally: Tally { left: count, ..Tally::default() },
        }
    }

    fn run(&mut self) {
        let (idle, end) = (self.tally.left == 0, Instant::now() + Duration::from_secs(600));
        // Handshakes come in groups, or most of them would be sent again.
        for first in (0..self.clients.len()).step_by(16) {
            let group = first..self.clients.len().min(first + 16);
            while !self.clients[group.clone()].iter().all(|client| client.connected) {
                assert!(Instant::now() < end, "handshakes take too long");
                group.clone().for_each(|place| self.attend(place));
                self.receive(Duration::from_millis(10));
            }
        }
        if idle {
            (0..self.clients.len()).for_each(|place| self.attend(place));
            println!("idle");
            let _ = std::io::stdin().read(&mut [0]);
        }
        while self.tally.left > 0 || self.clients.iter().any(|client| !client.exchanges.is_empty()) {
            assert!(Instant::now() < end, "answers take too long");
            (0..self.clients.len()).for_each(|place| self.attend(place));
            self.receive(Duration::from_millis(10));
        }
        for client in &mut self.clients {
            client.quic.close(Instant::now(), 0x100u32.into(), Bytes::new());
            client.flush(&self.socket);
        }
    }

    fn receive(&mut self, patience: Duration) {
        self.socket.set_read_timeout(Some(patience)).unwrap();
        // Waits for the first one, and takes it with all others.
        let _ = self.socket.peek_from(&mut [0; 1]);
        let Ok(count) = self.batch.receive(&self.socket) else { return };
        for arrived in (0..count).filter_map(|index| self.batch.get(index)) {
            for datagram in arrived.bytes.chunks(arrived.segment.max(1)) {
                self.tally.received += 1;
                let event = self.endpoint.handle(Instant::now(), arrived.from, None, None, BytesMut::from(datagram), &mut Vec::new());
                if let Some(DatagramEvent::ConnectionEvent(handle, event)) = event {
                    self.clients[self.places[&handle]].quic.handle_event(event);
                }
            }
        }
    }

    fn attend(&mut self, place: usize) {
        let client = &mut self.clients[place];
        if client.quic.poll_timeout().is_some_and(|at| at <= Instant::now()) {
            client.quic.handle_timeout(Instant::now());
        }
        while let Some(event) = client.quic.poll_endpoint_events() {
            if let Some(event) = self.endpoint.handle_event(client.handle, event) {
                client.quic.handle_event(event);
            }
        }
        client.take_events(&self.plan, &mut self.tally);
        while client.connected && self.tally.left > 0 && client.exchanges.len() < self.plan.streams && client.begin(&self.plan) {
            self.tally.left -= 1;
        }
        client.flush(&self.socket);
    }
}

fn varint(value: u64) -> Vec<u8> {
    let mut out = Vec::new();
    push_integer(value, &mut out);
    out
}

fn frame(kind: u64, payload: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    FrameHead { kind, len: payload.len() as u64 }.write(&mut out);
    out.extend_from_slice(payload);
    out
}

impl Client {
    fn take_events(&mut self, plan: &Plan, tally: &mut Tally) {
        while let Some(event) = self.quic.poll() {
            match event {
                Event::Connected => self.greet(plan),
                Event::ConnectionLost { reason } => panic!("a connection was lost: {reason}"),
                Event::Stream(StreamEvent::Opened { dir: Dir::Uni }) => {
                    while let Some(id) = self.quic.streams().accept(Dir::Uni) {
                        self.own.insert(id, Vec::new());
                        self.read_own(id);
                    }
                }
                Event::Stream(StreamEvent::Readable { id }) if id.initiator() == Side::Server => self.read_own(id),
                Event::Stream(StreamEvent::Readable { id }) => self.read(id, tally),
                Event::Stream(StreamEvent::Writable { id }) => self.write(id),
                Event::Stream(StreamEvent::Stopped { id, .. }) => {
                    self.exchanges.entry(id).and_modify(|one| one.unsent.clear());
                }
                _ => {}
            }
        }
    }

    fn greet(&mut self, plan: &Plan) {
        self.connected = true;
        let control = self.quic.streams().open(Dir::Uni).unwrap();
        let settings = [varint(setting::QPACK_MAX_TABLE_CAPACITY), varint(plan.table)].concat();
        self.put(control, &[varint(stream::CONTROL), frame(kind::SETTINGS, &settings)].concat());
        if plan.table > 0 {
            let mut instructions = varint(stream::ENCODER);
            self.encoder.set_max(plan.table, &mut instructions);
            for (place, bytes) in [instructions, varint(stream::DECODER)].iter().enumerate() {
                let id = self.quic.streams().open(Dir::Uni).unwrap();
                self.put(id, bytes);
                self.streams[place] = Some(id);
            }
        }
    }

    fn put(&mut self, id: StreamId, bytes: &[u8]) {
        assert_eq!(self.quic.send_stream(id).write(bytes).unwrap(), bytes.len(), "room for a few bytes");
    }

    /// Begins an exchange. False: the server allows no more streams now.
    fn begin(&mut self, plan: &Plan) -> bool {
        let Some(id) = self.quic.streams().open(Dir::Bi) else { return false };
        let method = if plan.body.is_empty() { "GET" } else { "POST" };
        let length = plan.body.len().to_string();
        let mut fields = vec![(":method", method), (":scheme", "https"), (":authority", "localhost"), (":path", &plan.path)];
        fields.extend([("user-agent", "h3load/1.0"), ("accept", "*/*"), ("accept-encoding", "identity")]);
        if !plan.body.is_empty() {
            fields.push(("content-length", &length));
        }
        let (mut section, mut instructions) = (Vec::new(), Vec::new());
        self.encoder.begin();
        fields.iter().for_each(|(name, value)| self.encoder.field(name.as_bytes(), value.as_bytes(), &mut instructions));
        self.encoder.finish(id.into(), &mut section);
        if let Some(own) = self.streams[0].filter(|_| !instructions.is_empty()) {
            self.put(own, &instructions);
        }
        let mut out = frame(kind::HEADERS, &section);
        if !plan.body.is_empty() {
            FrameHead { kind: kind::DATA, len: plan.body.len() as u64 }.write(&mut out);
        }
        self.put(id, &out);
        self.exchanges.insert(id, Exchange { unsent: plan.body.clone(), ..Exchange::default() });
        self.write(id);
        true
    }

    fn write(&mut self, id: StreamId) {
        let Some(exchange) = self.exchanges.get_mut(&id) else { return };
        let mut stream = self.quic.send_stream(id);
        while !exchange.unsent.is_empty() {
            if stream.write_chunks(std::slice::from_mut(&mut exchange.unsent)).is_err() {
                return;
            }
        }
        let _ = stream.finish();
    }

    fn read(&mut self, id: StreamId, tally: &mut Tally) {
        let Some(exchange) = self.exchanges.get_mut(&id) else { return };
        let mut recv = self.quic.recv_stream(id);
        let Ok(mut chunks) = recv.read(true) else { return };
        let ended = loop {
            match chunks.next(usize::MAX) {
                Ok(Some(chunk)) => exchange.take(&chunk.bytes),
                Ok(None) => break true,
                Err(quinn_proto::ReadError::Blocked) => break false,
                Err(quinn_proto::ReadError::Reset(_)) => {
                    exchange.status = 0;
                    break true;
                }
            }
        };
        let _ = chunks.finalize();
        let mut told = Vec::new();
        if let Some((status, required)) = exchange.head(&self.decoder) {
            exchange.status = status;
            self.decoder.acknowledge(id.into(), required, &mut told);
        }
        let ok = exchange.status == 200;
        if let Some(own) = self.streams[1].filter(|_| !told.is_empty()) {
            self.put(own, &told);
        }
        if ended {
            tally.bytes += self.exchanges.remove(&id).unwrap().body;
            *if ok { &mut tally.done } else { &mut tally.failed } += 1;
        }
    }

    /// The server's own streams: insertions, and what it knows of ours.
    fn read_own(&mut self, id: StreamId) {
        let Some(got) = self.own.get_mut(&id) else { return };
        let mut recv = self.quic.recv_stream(id);
        let Ok(mut chunks) = recv.read(true) else { return };
        let mut came = Vec::new();
        while let Ok(Some(chunk)) = chunks.next(usize::MAX) {
            came.extend_from_slice(&chunk.bytes);
        }
        let _ = chunks.finalize();
        if got.is_empty() && !came.is_empty() {
            got.push(came.remove(0));
        }
        match got.first().map(|kind| u64::from(*kind)) {
            Some(stream::ENCODER) => {
                self.decoder.instructions(&came, &LIMITS).unwrap();
                let mut told = Vec::new();
                self.decoder.increment(&mut told);
                if let Some(own) = self.streams[1] {
                    self.put(own, &told);
                }
            }
            Some(stream::DECODER) => self.encoder.acknowledgements(&came).unwrap(),
            _ => {}
        }
    }

    fn flush(&mut self, socket: &UdpSocket) {
        let mut buffer = Vec::new();
        while let Some(transmit) = self.quic.poll_transmit(Instant::now(), 1, &mut buffer) {
            let _ = socket.send_to(&buffer[..transmit.size], transmit.destination);
            buffer.clear();
        }
    }
}

impl Exchange {
    /// Counts what came of frames; a field section is kept.
    fn take(&mut self, mut bytes: &[u8]) {
        loop {
            let content = bytes.len().min(self.data);
            (self.body, self.data) = (self.body + content, self.data - content);
            bytes = &bytes[content..];
            if bytes.is_empty() {
                return;
            }
            let before = self.got.len();
            self.got.extend_from_slice(bytes);
            let Some((head, at)) = FrameHead::parse(&self.got) else { return };
            if head.kind == kind::DATA {
                self.data = head.len as usize;
                bytes = &bytes[at - before..];
                self.got.clear();
            } else {
                let whole = at + head.len as usize;
                if self.status != 0 || self.got.len() < whole {
                    return;
                }
                // The head is read by who knows the table; content may stand behind it.
                bytes = &bytes[whole - before..];
                self.status = 1;
                self.head = Some(self.got[at..whole].to_vec());
                self.got.clear();
            }
        }
    }

    /// The status and the insertions that the head needed, once.
    fn head(&mut self, decoder: &Decoder) -> Option<(u16, u64)> {
        let section = self.head.take()?;
        let mut fields = Fields::default();
        let Ok(Section::Decoded { required }) = decoder.decode(&section, &LIMITS, &mut fields) else { panic!("a head that is wrong") };
        let status = fields.iter().next().and_then(|(_, value)| std::str::from_utf8(value).ok()?.parse().ok());
        Some((status.unwrap_or(0), required))
    }
}
