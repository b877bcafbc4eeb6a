//! Peers that cost much and bring little: each flood is stopped, and none makes the worker large.

use crate::rig::{Foreground, h2::Client, memory, until};
use crate::server_with;
use std::time::Duration;
use wire::h2::frame::{FrameHead, kind};

/// More than any budget lets pass.
const ROUNDS: u32 = 40_000;
/// How much larger the worker may become by one flood.
const GROWTH: u64 = 1 << 20;
/// GET / with `:authority: a`, in fields of the static table and one literal.
const GET: &[u8] = b"\x82\x86\x84\x01\x01a";
const POST: &[u8] = b"\x83\x86\x84\x01\x01a";
const CALM: u32 = 11;

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    FrameHead { len: payload.len(), kind, flags, stream }.write(&mut bytes);
    bytes.extend_from_slice(payload);
    bytes
}

/// What is sent first, what is sent in each round, and how the connection must end.
struct Flood {
    name: &'static str,
    first: Vec<u8>,
    round: fn(u32) -> Vec<u8>,
    code: u32,
}

fn flood(name: &'static str, first: Vec<u8>, round: fn(u32) -> Vec<u8>) -> Flood {
    Flood { name, first, round, code: CALM }
}

fn stream(round: u32) -> u32 {
    2 * round + 3
}

// tidy: table
fn floods() -> Vec<Flood> {
    let open = || frame(kind::HEADERS, 4, 1, POST);
    let begun = || frame(kind::HEADERS, 0, 1, GET);
    vec![
        flood("resets", vec![], |n| {
            [frame(kind::HEADERS, 5, stream(n), GET), frame(kind::RST_STREAM, 0, stream(n), &[0, 0, 0, 8])].concat()
        }),
        flood("resets of uploads", vec![], |n| {
            [frame(kind::HEADERS, 4, stream(n), POST), frame(kind::RST_STREAM, 0, stream(n), &[0, 0, 0, 8])].concat()
        }),
        flood("errors that make us reset", vec![], |n| {
            let overflow = 0x7fff_ffff_u32.to_be_bytes();
            [frame(kind::HEADERS, 4, stream(n), POST), frame(kind::WINDOW_UPDATE, 0, stream(n), &overflow)].concat()
        }),
        flood("continuations", begun(), |_| frame(kind::CONTINUATION, 0, 1, b"\0\x01a\x01b")),
        flood("empty continuations", begun(), |_| frame(kind::CONTINUATION, 0, 1, b"")),
        flood("pings", vec![], |_| frame(kind::PING, 0, 0, &[7; 8])),
        flood("settings", vec![], |_| frame(kind::SETTINGS, 0, 0, &[])),
        flood("empty data", open(), |_| frame(kind::DATA, 0, 1, b"")),
        flood("dribbled data", open(), |_| frame(kind::DATA, 8, 1, b"\x05x\0\0\0\0\0")),
        flood("priorities", vec![], |n| frame(kind::PRIORITY, 0, stream(n), &[0, 0, 0, 1, 16])),
        flood("priority updates", vec![], |n| frame(kind::PRIORITY_UPDATE, 0, 0, &[&stream(n).to_be_bytes()[..], b"u=1"].concat())),
        flood("window updates", open(), |_| frame(kind::WINDOW_UPDATE, 0, 1, &[0, 0, 0, 1])),
        flood("unknown frames", vec![], |_| frame(0x77, 0, 0, b"")),
        flood("references to a large field", vec![], |n| {
            let mut block = if n == 0 { [&b"\x40\x01a\x7f\xb9\x16"[..], &[b'x'; 3000]].concat() } else { Vec::new() };
            block.resize(block.len() + 10_000, 0xbe);
            frame(kind::HEADERS, 5, stream(n), &block)
        }),
        Flood { name: "fields without names", first: vec![], round: |n| frame(kind::HEADERS, 5, stream(n), b"\0\0\x01x"), code: 1 },
    ]
}

/// Floods until the connection is ended; how many rounds and bytes were sent until that was seen.
fn run(port: u16, flood: &Flood) -> (u32, usize) {
    let mut client = Client::connect(port);
    client.wait_at_most(Duration::from_millis(1));
    client.takes = false;
    // Settings have been exchanged when this is answered.
    client.frame(kind::PING, 0, 0, &[1; 8]);
    client.until("an echo", |client| client.pongs == 1);
    client.send(&flood.first);
    let mut batch = Vec::new();
    let (mut rounds, mut bytes) = (0, flood.first.len());
    for round in 0..ROUNDS {
        batch.extend_from_slice(&(flood.round)(round));
        if batch.len() > 2000 {
            (rounds, bytes) = (round + 1, bytes + batch.len());
            client.send(&batch);
            batch.clear();
            client.poll();
        }
        if client.closed || client.goaway.is_some() {
            break;
        }
    }
    client.until("the end of the connection", |client| client.goaway.is_some());
    assert_eq!(client.goaway.map(|(_, code)| code), Some(flood.code), "{}", flood.name);
    (rounds, bytes)
}

fn hostile() -> (crate::rig::Prefix, u16, Foreground) {
    server_with(
        "send_timeout 1s; client_body_timeout 60s; client_max_body_size 0;",
        "location = / { content_by_lua_block { ngx.sleep(0.01) ngx.print('x') } }
        location = /large { content_by_lua_block { for i = 1, 200 do ngx.print(string.rep('x', 100000)) ngx.flush(true) end } }
        location = /sleeps { content_by_lua_block { ngx.sleep(600) } }
        location = /reads { content_by_lua_block { ngx.req.read_body() ngx.print('read') } }",
    )
}

#[test]
fn floods_are_stopped_and_cost_little() {
    let (prefix, port, running) = hostile();
    // The first of each kind warms up what is kept for reuse.
    for flood in &floods() {
        run(port, flood);
    }
    for flood in &floods() {
        let before = memory(&running);
        let sent: Vec<_> = (0..3).map(|_| run(port, flood)).collect();
        let grown = memory(&running).saturating_sub(before);
        let (rounds, bytes) = sent.iter().max().copied().unwrap_or_default();
        println!("{:<28} ended within {rounds:>6} rounds, {bytes:>9} bytes; {grown} bytes larger", flood.name);
        assert!(grown <= GROWTH, "{}: {grown}", flood.name);
    }
    assert_eq!(Client::connect(port).get("/ready").answer.text(), "ready");
    let log = prefix.read("logs/error.log");
    for word in ["[alert]", "[crit]", "[emerg]", "panicked"] {
        assert!(!log.contains(word), "{log}");
    }
}

/// An error of the connection arrives while answers have content that may be sent, in one piece with the requests or behind them.
#[test]
fn a_connection_fails_under_its_answers_and_the_worker_serves_on() {
    let (_prefix, port, _running) = hostile();
    let requests: Vec<u8> = (0..5).flat_map(|n| frame(kind::HEADERS, 5, stream(n), b"\x82\x86\x01\x01a\x04\x06/ready")).collect();
    let errors = [
        frame(kind::CONTINUATION, 4, 3, b""),
        frame(kind::DATA, 1, 0, b"x"),
        frame(kind::SETTINGS, 0, 0, b"x"),
        frame(kind::WINDOW_UPDATE, 0, 0, &[0; 4]),
        frame(kind::HEADERS, 5, 2, GET),
        frame(kind::RST_STREAM, 0, 99, &[0; 4]),
        frame(kind::PING, 0, 0, b"short"),
        frame(kind::PUSH_PROMISE, 4, 3, &[0, 0, 0, 2]),
    ];
    for error in &errors {
        for pause in [false, true] {
            let mut client = Client::connect(port);
            client.takes = false;
            if pause {
                client.send(&requests);
                client.poll();
                client.send(error);
            } else {
                client.send(&[&requests[..], error].concat());
            }
            assert_eq!(Client::connect(port).get("/ready").answer.text(), "ready", "{error:?} {pause}");
        }
    }
}

#[test]
fn who_takes_nothing_is_given_up_and_costs_little() {
    let (_prefix, port, running) = hostile();
    let before = memory(&running);
    for window in [0, 1] {
        let mut client = Client::with_window(port, window);
        client.takes = false;
        let streams: Vec<_> = (0..100).map(|_| client.request("GET", "/large", &[], None)).collect();
        for stream in streams {
            let reply = client.reply(stream);
            assert!(reply.reset.is_some() && reply.answer.body.len() <= window as usize, "{reply:?}");
        }
        // The connection itself goes on.
        assert_eq!(client.request("PUT", "/ready", &[], None), 201);
        assert!(!client.closed && client.goaway.is_none());
    }
    let grown = memory(&running).saturating_sub(before);
    assert!(grown < 40 << 20, "{grown}");
}

#[test]
fn bodies_that_nobody_reads_stay_within_windows() {
    let (_prefix, port, running) = hostile();
    assert_eq!(Client::connect(port).get("/").answer.text(), "x");
    let before = memory(&running);
    let mut client = Client::connect(port);
    for _ in 0..100 {
        let stream = client.open(&[(":method", "POST"), (":scheme", "http"), (":path", "/sleeps"), (":authority", "a")], false);
        client.data(stream, &[b'x'; 65_000], false);
    }
    assert_eq!(client.get("/ready").answer.text(), "ready");
    let grown = memory(&running).saturating_sub(before);
    assert!(grown < 16 << 20, "{grown}");
    drop(client);
    until("the streams' end", || Client::connect(port).get("/ready").answer.text() == "ready");
}

#[test]
fn streams_can_be_reset_in_every_state() {
    let (prefix, port, mut running) = hostile();
    let fields = |path| [(":method", "POST"), (":scheme", "http"), (":path", path), (":authority", "a")];
    let mut client = Client::connect(port);
    for round in 0..60 {
        // Before its body, within it, behind it; while it waits, while it is answered, and when that is over.
        let one = client.open(&fields("/reads"), false);
        client.reset(one, 8);
        let two = client.open(&fields("/reads"), false);
        client.data(two, b"some", false);
        client.reset(two, 8);
        let three = client.request("POST", "/reads", &[], Some(b"all"));
        client.reset(three, 8);
        let four = client.request("GET", "/", &[], None);
        client.reset(four, 8);
        let five = client.request("GET", "/large", &[], None);
        client.until("some of it", |client| !client.replies[&five].answer.body.is_empty());
        client.reset(five, 8);
        let six = client.request("GET", "/ready", &[], None);
        assert_eq!(client.reply(six).answer.text(), "ready", "{round}");
        client.reset(six, 8);
        assert!(client.goaway.is_none() && !client.closed, "{round}: {:?} {}", client.goaway, prefix.read("logs/error.log"));
    }
    let stream = client.request("POST", "/reads", &[], Some(b"all"));
    assert_eq!(client.reply(stream).answer.text(), "read");
    drop(client);
    // Nothing is left that would keep the worker.
    running.signal("-QUIT");
    until("the end", || running.child.try_wait().unwrap().is_some());
    let log = prefix.read("logs/error.log");
    assert!(!log.contains("[alert]") && !log.contains("panicked"), "{log}");
}
