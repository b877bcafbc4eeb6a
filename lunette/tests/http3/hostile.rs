//! Peers that break rules, or that ask for much and give nothing.

use crate::rig::h3::{Client, frame, head, section, varint};
use crate::server_with;
use quinn_proto::Dir;
use wire::h3::frame::{kind, stream};

/// Sends on a stream of a kind; the code with which the connection ends.
fn code(port: u16, dir: Dir, bytes: &[u8], end: bool) -> Option<u64> {
    let mut client = Client::connect(port);
    let id = client.quic.open(dir);
    client.quic.send(id, bytes, end);
    client.quic.until(|quic| quic.lost.is_some());
    client.quic.code()
}

#[test]
fn rules_that_are_broken_have_their_codes() {
    let (prefix, port, _running) = server_with("", "location / { return 200; } location /wait { content_by_lua_block { ngx.sleep(60) } }");
    let get = head("GET", "/wait", &[]);
    let table: Vec<(&str, Dir, Vec<u8>, bool, u64)> = vec![
        ("DATA first", Dir::Bi, frame(kind::DATA, b"x"), false, 0x105),
        ("SETTINGS on a request", Dir::Bi, [get.clone(), frame(kind::SETTINGS, &[])].concat(), false, 0x105),
        ("HTTP/2's PING", Dir::Bi, frame(6, &[0; 8]), false, 0x105),
        ("a frame that is cut", Dir::Bi, get[..get.len() - 1].to_vec(), true, 0x106),
        ("a section that is none", Dir::Bi, frame(kind::HEADERS, &[0, 0, 0xff, 0xff]), false, 0x200),
        ("two control streams", Dir::Uni, [varint(stream::CONTROL), frame(kind::SETTINGS, &[])].concat(), false, 0x103),
        ("a push", Dir::Uni, varint(stream::PUSH), false, 0x103),
        ("too much capacity", Dir::Uni, [varint(stream::ENCODER), vec![0x3f, 0xff, 0xff, 0x7f]].concat(), false, 0x201),
        ("nothing to acknowledge", Dir::Uni, [varint(stream::DECODER), vec![0x80]].concat(), false, 0x202),
        ("an encoder stream that ends", Dir::Uni, varint(stream::ENCODER), true, 0x104),
    ];
    for (what, dir, bytes, end, expected) in table {
        assert_eq!(code(port, dir, &bytes, end), Some(expected), "{what}");
    }
    // On the control stream itself.
    for (what, bytes, end, expected) in [
        ("settings twice", frame(kind::SETTINGS, &[]), false, 0x105),
        ("HEADERS", frame(kind::HEADERS, &[0, 0]), false, 0x105),
        ("CANCEL_PUSH", frame(kind::CANCEL_PUSH, &[0]), false, 0x108),
        ("its end", vec![], true, 0x104),
    ] {
        let mut client = Client::connect(port);
        let control = client.control;
        client.quic.send(control, &bytes, end);
        client.quic.until(|quic| quic.lost.is_some());
        assert_eq!(client.quic.code(), Some(expected), "{what}");
    }
    let log = prefix.read("logs/error.log");
    assert!(log.contains("client sent unexpected frame of type 0x6 while processing HTTP/3 connection, client: 127.0.0.1"), "{log}");
    assert!(!log.contains("[alert]") && !log.contains("panicked"), "{log}");
    assert_eq!(Client::connect(port).get("/").status, 200);
}

/// Repeats until the server closes; how often that was.
fn until_closed(client: &mut Client, mut each: impl FnMut(&mut Client, u32)) -> u32 {
    for turn in 0..200_000 {
        if client.quic.lost.is_some() {
            assert_eq!(client.quic.code(), Some(0x107), "{:?}", client.quic.lost);
            return turn;
        }
        each(client, turn);
        if turn % 16 == 0 {
            client.quic.turn(std::time::Duration::from_millis(1));
        }
    }
    panic!("it never ends");
}

#[test]
fn floods_end() {
    let (prefix, port, _running) = server_with("keepalive_requests 1000000;", "location / { content_by_lua_block { ngx.sleep(1) } }");
    let mut client = Client::connect(port);
    let turns = until_closed(&mut client, |client, _| {
        // The last ones wait for room until the end.
        let Some(id) = client.quic.try_open(Dir::Bi) else { return };
        client.quic.send(id, &head("GET", "/", &[]), false);
        client.quic.turn(std::time::Duration::from_millis(1));
        client.quic.reset(id, 0x10c);
        client.quic.stop(id, 0x10c);
    });
    assert!(turns < 5000, "{turns}");
    for bytes in [frame(0x21, &[]), frame(kind::DATA, b"x")] {
        let mut client = Client::connect(port);
        let id = client.open("POST", "/", &[], false);
        let many = bytes.repeat(100);
        until_closed(&mut client, |client, _| {
            if client.quic.lost.is_none() {
                client.quic.send(id, &many, false);
            }
        });
    }
    let mut client = Client::connect(port);
    let control = client.control;
    until_closed(&mut client, |client, _| client.quic.send(control, &frame(kind::MAX_PUSH_ID, &[1]).repeat(20), false));
    let log = prefix.read("logs/error.log");
    assert!(log.contains("http3 flood detected") && !log.contains("[alert]"), "{log}");
    assert_eq!(Client::connect(port).get("/ready").text(), "ready");
}

#[test]
fn heads_that_are_too_large_or_too_slow() {
    let (prefix, port, _running) =
        server_with("large_client_header_buffers 4 1k; client_header_timeout 300ms; max_headers 10;", "location / { return 200; }");
    let mut client = Client::connect(port);
    let (line, total): (Vec<_>, Vec<_>) = (vec![("x-a", "{".repeat(1100))], (0..6).map(|_| ("x-a", "{".repeat(900))).collect());
    for fields in [line, total] {
        let fields: Vec<_> = fields.iter().map(|(name, value)| (*name, value.as_str())).collect();
        let stream = client.open("GET", "/", &fields, true);
        assert_eq!(client.reply(stream).status, 400);
    }
    let many = client.open("GET", "/", &[("x-a", "b"); 11], true);
    assert_eq!(client.reply(many).status, 400);
    // Half a head, and a section that waits for the table.
    for bytes in [head("GET", "/", &[])[..5].to_vec(), frame(kind::HEADERS, &[2, 0, 0x80])] {
        let id = client.quic.open(Dir::Bi);
        client.quic.send(id, &bytes, false);
        assert_eq!(client.reply(id).reset, Some(0x101));
    }
    assert_eq!(client.get("/").status, 200);
    let log = prefix.read("logs/error.log");
    for words in [
        "client sent too large field line",
        "client sent too large header",
        "client sent too many header lines",
        "client timed out (110: Connection timed out)",
    ] {
        assert!(log.contains(words), "{words}: {log}");
    }
}

#[test]
fn requests_that_are_malformed_are_answered() {
    let (_prefix, port, _running) = server_with("", "location / { return 200; }");
    let mut client = Client::connect(port);
    for fields in [
        &[(":method", "GET"), (":path", "/"), (":authority", "a")][..],
        &[(":method", "GET"), (":scheme", "https"), (":path", "/")],
        &[(":method", "GET"), (":scheme", "https"), (":path", "/"), (":authority", "a"), ("connection", "close")],
        &[(":method", "GET"), (":scheme", "https"), (":path", "/"), (":authority", "a"), ("x a", "b")],
        &[(":method", "GET"), (":scheme", "https"), (":path", "/"), (":authority", "a"), ("x-a", "b\r\nc: d")],
        &[(":method", "GET"), (":scheme", "https"), (":path", "x"), (":authority", "a")],
    ] {
        let id = client.quic.open(Dir::Bi);
        client.quic.send(id, &frame(kind::HEADERS, &section(fields)), true);
        assert_eq!(client.reply(id).status, 400, "{fields:?}");
    }
    // One that is given up before it is whole is answered, too, as with nginx.
    let id = client.quic.open(Dir::Bi);
    client.quic.send(id, &head("GET", "/", &[])[..5], false);
    client.get("/");
    client.quic.reset(id, 0x10c);
    assert_eq!(client.reply(id).status, 400);
    assert_eq!(client.get("/").status, 200);
}

#[test]
fn streams_that_mean_nothing_are_stopped() {
    let (_prefix, port, _running) = server_with("", "location / { return 200; }");
    let mut client = Client::connect(port);
    let id = client.quic.open(Dir::Uni);
    client.quic.send(id, &[varint(0x21), vec![b'x'; 5000]].concat(), false);
    client.until(|client| client.quic.received(id).stopped.is_some());
    assert_eq!(client.quic.received(id).stopped, Some(0x103));
    assert_eq!(client.get("/").status, 200);
}
