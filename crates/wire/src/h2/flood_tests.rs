//! Floods: each ends the connection within 10,000 frames and 1 MiB, and what is held or queued stays below 1 MiB.

use super::client_tests::{Client, GET};
use super::frame::{FrameHead, PREFACE, kind};
use super::{Codec, Config};

const CALM: u32 = 11;

struct Flood {
    name: &'static str,
    begin: fn(&mut Client),
    next: fn(&mut Client, u32),
    code: u32,
    text: &'static str,
}

fn id(i: u32) -> u32 {
    2 * i + 1
}

fn none(_: &mut Client) {}

fn silent(c: &mut Client) {
    c.answering = false;
}

// tidy: table
const FLOODS: &[Flood] = &[
    Flood {
        name: "rapid reset",
        begin: silent,
        next: |c, i| _ = c.get(id(i)).frame(kind::RST_STREAM, 0, id(i), &[0, 0, 0, 8]),
        code: CALM,
        text: "client sent too many refused streams",
    },
    Flood {
        name: "streams above the limit",
        begin: silent,
        next: |c, i| _ = c.get(id(i)),
        code: CALM,
        text: "client sent too many refused streams",
    },
    Flood {
        name: "resets provoked by windows that overflow",
        begin: silent,
        next: |c, i| _ = c.post(id(i)).frame(kind::WINDOW_UPDATE, 0, id(i), &[0x7f, 255, 255, 255]),
        code: CALM,
        text: "client sent too many refused streams",
    },
    Flood {
        name: "resets provoked by DATA behind the end",
        begin: silent,
        next: |c, i| _ = c.get(id(i)).frame(kind::DATA, 0, id(i), b"x"),
        code: CALM,
        text: "client sent too many refused streams",
    },
    Flood {
        name: "a window of 0",
        begin: none,
        next: |c, i| _ = c.post(id(i)).frame(kind::WINDOW_UPDATE, 0, id(i), &[0; 4]),
        code: 1,
        text: "client sent WINDOW_UPDATE frame with incorrect window increment 0",
    },
    Flood {
        name: "CONTINUATION",
        begin: |c| _ = c.frame(kind::HEADERS, 1, 1, GET),
        next: |c, i| _ = c.frame(kind::CONTINUATION, 0, 1, format!("\0\x04x{i:03}\x01a").as_bytes()),
        code: CALM,
        text: "http2 flood detected",
    },
    Flood {
        name: "large CONTINUATION",
        begin: |c| _ = c.frame(kind::HEADERS, 1, 1, GET),
        next: |c, _| _ = c.frame(kind::CONTINUATION, 0, 1, &[0x82; 16_000]),
        code: CALM,
        text: "client sent too large header",
    },
    Flood {
        name: "empty CONTINUATION",
        begin: |c| _ = c.frame(kind::HEADERS, 1, 1, GET),
        next: |c, _| _ = c.frame(kind::CONTINUATION, 0, 1, b""),
        code: CALM,
        text: "http2 flood detected",
    },
    Flood {
        name: "size updates without end",
        begin: |c| _ = c.frame(kind::HEADERS, 1, 1, b"\x20"),
        next: |c, _| _ = c.frame(kind::CONTINUATION, 0, 1, &[0x20; 16_000]),
        code: CALM,
        text: "client sent too large header",
    },
    Flood { name: "PING", begin: none, next: |c, _| _ = c.frame(kind::PING, 0, 0, b"12345678"), code: CALM, text: "http2 flood detected" },
    Flood { name: "SETTINGS", begin: none, next: |c, _| _ = c.frame(kind::SETTINGS, 0, 0, b""), code: CALM, text: "http2 flood detected" },
    Flood {
        name: "large SETTINGS",
        begin: none,
        next: |c, _| _ = c.frame(kind::SETTINGS, 0, 0, &[0, 4, 0, 0, 0xff, 0xff].repeat(2000)),
        code: CALM,
        text: "http2 flood detected",
    },
    Flood {
        name: "empty DATA",
        begin: |c| _ = c.post(1),
        next: |c, _| _ = c.frame(kind::DATA, 0, 1, b""),
        code: CALM,
        text: "http2 flood detected",
    },
    Flood {
        name: "DATA of padding alone",
        begin: |c| _ = c.post(1),
        next: |c, _| _ = c.frame(kind::DATA, 8, 1, &[&[255][..], &[0; 255]].concat()),
        code: CALM,
        text: "http2 flood detected",
    },
    Flood {
        name: "DATA of a byte",
        begin: |c| _ = c.post(1),
        next: |c, _| _ = c.frame(kind::DATA, 0, 1, b"x"),
        code: CALM,
        text: "http2 flood detected",
    },
    Flood {
        name: "PRIORITY",
        begin: none,
        next: |c, i| _ = c.frame(kind::PRIORITY, 0, id(i) + 2, &[0, 0, 0, 1, 9]),
        code: CALM,
        text: "client sent too many PRIORITY frames",
    },
    Flood {
        name: "PRIORITY_UPDATE",
        begin: none,
        next: |c, _| _ = c.frame(kind::PRIORITY_UPDATE, 0, 0, b"\0\0\0\x01u=1"),
        code: CALM,
        text: "client sent too many PRIORITY frames",
    },
    Flood {
        name: "WINDOW_UPDATE of 1",
        begin: |c| _ = c.post(1),
        next: |c, i| _ = c.frame(kind::WINDOW_UPDATE, 0, i % 2, &[0, 0, 0, 1]),
        code: CALM,
        text: "http2 flood detected",
    },
    Flood {
        name: "a bomb of references",
        begin: |c| _ = c.frame(kind::HEADERS, 5, 1, &[GET, b"\x40\x01a\x7f\xa1\x16", &[b'x'; 2976]].concat()),
        next: |c, i| _ = c.frame(kind::HEADERS, 5, id(i) + 2, &[0xbe; 16_000]),
        code: CALM,
        text: "client sent too large header",
    },
    Flood {
        name: "names without bytes",
        begin: none,
        next: |c, i| _ = c.frame(kind::HEADERS, 5, id(i), &[GET, b"\0\0\0"].concat()),
        code: 1,
        text: "client sent zero header name length",
    },
    Flood {
        name: "frames of unknown type",
        begin: none,
        next: |c, _| _ = c.frame(0xbb, 0, 0, b"12345678"),
        code: CALM,
        text: "http2 flood detected",
    },
    Flood {
        name: "large frames of unknown type",
        begin: none,
        next: |c, _| _ = c.frame(0xbb, 0, 0, &[0; 16_000]),
        code: CALM,
        text: "http2 flood detected",
    },
    Flood {
        name: "RST_STREAM of streams that are over",
        begin: |c| _ = c.get(1),
        next: |c, _| _ = c.frame(kind::RST_STREAM, 0, 1, &[0, 0, 0, 8]),
        code: CALM,
        text: "http2 flood detected",
    },
    Flood { name: "GOAWAY", begin: none, next: |c, _| _ = c.frame(kind::GOAWAY, 0, 0, &[0; 8]), code: CALM, text: "http2 flood detected" },
    Flood {
        name: "resets provoked by bodies that are too long",
        begin: none,
        next: |c, i| _ = c.frame(kind::HEADERS, 4, id(i), &[GET, b"\x0f\x0d\x011"].concat()).frame(kind::DATA, 0, id(i), b"xx"),
        code: CALM,
        text: "client sent too many refused streams",
    },
    Flood {
        name: "malformed trailers",
        begin: silent,
        next: |c, i| _ = c.post(id(i)).post(id(i)),
        code: CALM,
        text: "client sent too many refused streams",
    },
];

#[test]
fn every_flood_ends() {
    for flood in FLOODS {
        let mut client = Client::new();
        (flood.begin)(&mut client);
        assert_eq!(client.failure, None, "{}", flood.name);
        let mut frames = 0;
        while client.failure.is_none() {
            (flood.next)(&mut client, frames);
            frames += 1;
            assert!(frames <= 10_000, "{} goes on", flood.name);
            assert!(client.peak + client.server.memory() < 1 << 20, "{}: {} and {}", flood.name, client.peak, client.server.memory());
        }
        assert_eq!(client.code(), Some(flood.code), "{}: {:?}", flood.name, client.failure);
        assert_eq!(client.failure.as_ref().map(|failure| &*failure.text), Some(flood.text), "{}", flood.name);
    }
}

#[test]
fn many_plain_requests_are_no_flood() {
    let mut out = vec![];
    let mut server = Codec::new(Config::default(), &mut out);
    let mut input = PREFACE.to_vec();
    FrameHead { len: 0, kind: kind::SETTINGS, flags: 0, stream: 0 }.write(&mut input);
    for i in 0..100_000 {
        let stream = id(i);
        FrameHead { len: GET.len(), kind: kind::HEADERS, flags: 5, stream }.write(&mut input);
        input.extend_from_slice(GET);
        // Clients grant windows again for what they read.
        if i % 2 == 0 {
            FrameHead { len: 4, kind: kind::WINDOW_UPDATE, flags: 0, stream: 0 }.write(&mut input);
            input.extend_from_slice(&[0, 0, 0, 10]);
        }
        server.begin_turn(1);
        let mut used = 0;
        loop {
            let poll = server.poll(&input[used..], &mut out).unwrap();
            used += poll.used;
            if poll.event.is_none() {
                break;
            }
            server.respond(stream, 200, [], false, &mut out);
            assert_eq!(server.data(stream, b"hello", true, &mut out), 5);
            server.close(stream, &mut out);
        }
        input.clear();
        out.clear();
    }
    assert!(server.memory() < 10_000, "{}", server.memory());
}

#[test]
fn a_large_upload_of_small_frames_is_no_flood() {
    let mut client = Client::new();
    client.answering = false;
    client.post(1);
    for _ in 0..100_000 {
        client.frame(kind::DATA, 0, 1, b"12345678");
        client.events.clear();
        client.out.clear();
    }
    assert_eq!(client.failure, None);
}
