//! Requirements of RFC 9113 for a server, section by section.

use super::Config;
use super::client_tests::{Client, GET, Sent};
use super::frame::kind;

/// What a case must end with.
enum Want {
    /// GOAWAY with this code.
    Connection(u32),
    /// RST_STREAM with this code, the connection lives.
    Stream(u32),
    /// 400, then RST_STREAM with PROTOCOL_ERROR.
    Malformed,
    /// The connection lives and answers PING.
    Alive,
    /// Stream 1 is answered.
    Answer,
}
use Want::{Alive, Answer, Connection, Malformed, Stream};

type Case = (&'static str, fn(&mut Client), Want);

fn run(cases: &[Case]) {
    for (name, send, want) in cases {
        let mut client = Client::new();
        send(&mut client);
        let sent = client.sent();
        match want {
            Connection(code) => {
                assert_eq!(client.code(), Some(*code), "{name}: {:?}", client.events);
                assert!(matches!(sent.last(), Some(Sent::GoAway(_, said)) if said == code), "{name}: {sent:?}");
                assert!(client.frame(kind::PING, 0, 0, b"12345678").sent().is_empty(), "{name}");
                continue;
            }
            Stream(code) => assert!(sent.iter().any(|sent| matches!(sent, Sent::Reset(_, said) if said == code)), "{name}: {sent:?}"),
            Malformed => {
                let at = |wanted: fn(&Sent) -> bool| sent.iter().position(wanted);
                let head = at(|sent| matches!(sent, Sent::Headers(..)));
                let reset = at(|sent| matches!(sent, Sent::Reset(_, 1)));
                assert!(head.is_some() && head < reset, "{name}: {sent:?} {:?}", client.events);
            }
            Answer => assert!(sent.contains(&Sent::Headers(1, false)), "{name}: {sent:?} {:?}", client.failure),
            Alive => {}
        }
        assert_eq!(client.failure, None, "{name}");
        assert_eq!(client.frame(kind::PING, 0, 0, b"12345678").sent(), [Sent::Ping(*b"12345678")], "{name}");
    }
}

fn with(block: &[u8]) -> Vec<u8> {
    [GET, block].concat()
}

#[test]
// tidy: table
fn starting_and_frames() {
    run(&[
        ("4.1 a frame of unknown type is ignored", |c| _ = c.frame(0x16, 0, 0, b"12345678"), Alive),
        ("4.2 a frame longer than was allowed", |c| _ = c.bytes(&[0x10, 0, 1, kind::DATA, 0, 0, 0, 0, 1]), Connection(6)),
        ("4.1 undefined flags are ignored", |c| _ = c.frame(kind::PING, 0x16, 0, b"12345678"), Alive),
        ("4.1 the reserved bit is ignored", |c| _ = c.frame(kind::PING, 0, 1 << 31, b"12345678"), Alive),
        ("4.2 DATA of 2^14 bytes", |c| _ = c.post(1).frame(kind::DATA, 1, 1, &[0; 1 << 14]), Answer),
        ("4.3 a block that is none", |c| _ = c.frame(kind::HEADERS, 5, 1, b"\x40"), Connection(9)),
        (
            "4.3 PRIORITY within a block",
            |c| _ = c.frame(kind::HEADERS, 1, 1, GET).frame(kind::PRIORITY, 0, 1, &[0, 0, 0, 0, 9]),
            Connection(1),
        ),
        ("4.3 another stream's HEADERS within a block", |c| _ = c.frame(kind::HEADERS, 1, 1, GET).get(3), Connection(1)),
        ("5.5 an unknown frame within a block", |c| _ = c.frame(kind::HEADERS, 1, 1, GET).frame(0x16, 0, 0, b""), Connection(1)),
        ("8.4 PUSH_PROMISE", |c| _ = c.frame(kind::PUSH_PROMISE, 4, 1, &[0, 0, 0, 3]), Connection(1)),
    ]);
    let mut client = Client::new();
    client.server = super::Codec::new(Config::default(), &mut vec![]);
    assert_eq!(client.bytes(b"INVALID CONNECTION PREFACE\r\n\r\n").code(), Some(1));
}

#[test]
// tidy: table
fn streams_states() {
    run(&[
        ("idle: DATA", |c| _ = c.frame(kind::DATA, 1, 1, b"test"), Connection(1)),
        ("idle: RST_STREAM", |c| _ = c.frame(kind::RST_STREAM, 0, 1, &[0, 0, 0, 8]), Connection(1)),
        ("idle: WINDOW_UPDATE", |c| _ = c.frame(kind::WINDOW_UPDATE, 0, 1, &[0, 0, 0, 100]), Connection(1)),
        ("idle: CONTINUATION", |c| _ = c.frame(kind::CONTINUATION, 4, 1, GET), Connection(1)),
        ("idle: PRIORITY", |c| _ = c.frame(kind::PRIORITY, 0, 1, &[0, 0, 0, 0, 255]), Alive),
        (
            "half closed: DATA",
            |c| {
                c.answering = false;
                c.get(1).frame(kind::DATA, 1, 1, b"test");
            },
            Stream(5),
        ),
        (
            "half closed: HEADERS",
            |c| {
                c.answering = false;
                c.get(1).get(1);
            },
            Stream(5),
        ),
        (
            "half closed: CONTINUATION",
            |c| {
                c.answering = false;
                c.get(1).frame(kind::CONTINUATION, 4, 1, GET);
            },
            Connection(1),
        ),
        (
            "half closed: WINDOW_UPDATE",
            |c| {
                c.answering = false;
                c.get(1).frame(kind::WINDOW_UPDATE, 0, 1, &[0, 0, 0, 9]).answer(1, false);
            },
            Answer,
        ),
        (
            "half closed: PRIORITY",
            |c| {
                c.answering = false;
                c.get(1).frame(kind::PRIORITY, 0, 1, &[0, 0, 0, 0, 9]).answer(1, false);
            },
            Answer,
        ),
        (
            "half closed: RST_STREAM",
            |c| {
                c.answering = false;
                c.get(1).frame(kind::RST_STREAM, 0, 1, &[0, 0, 0, 8]);
            },
            Alive,
        ),
        (
            "closed by RST_STREAM: DATA",
            |c| _ = c.post(1).frame(kind::RST_STREAM, 0, 1, &[0, 0, 0, 8]).frame(kind::DATA, 1, 1, b"x"),
            Stream(5),
        ),
        ("closed by RST_STREAM: HEADERS", |c| _ = c.post(1).frame(kind::RST_STREAM, 0, 1, &[0, 0, 0, 8]).get(1), Stream(5)),
        (
            "closed by RST_STREAM: CONTINUATION",
            |c| _ = c.post(1).frame(kind::RST_STREAM, 0, 1, &[0, 0, 0, 8]).frame(kind::CONTINUATION, 4, 1, GET),
            Connection(1),
        ),
        ("closed: DATA", |c| _ = c.get(1).frame(kind::DATA, 1, 1, b"test"), Connection(5)),
        // RFC 9113, 5.1 says STREAM_CLOSED, 5.1.1 PROTOCOL_ERROR; nginx says the latter.
        ("closed: HEADERS", |c| _ = c.get(1).get(1), Connection(1)),
        ("closed: CONTINUATION", |c| _ = c.get(1).frame(kind::CONTINUATION, 4, 1, GET), Connection(1)),
        ("closed: PRIORITY", |c| _ = c.get(1).frame(kind::PRIORITY, 0, 1, &[0, 0, 0, 0, 255]), Alive),
        ("closed: WINDOW_UPDATE", |c| _ = c.get(1).frame(kind::WINDOW_UPDATE, 0, 1, &[0, 0, 0, 255]), Alive),
        ("closed: RST_STREAM", |c| _ = c.get(1).frame(kind::RST_STREAM, 0, 1, &[0, 0, 0, 8]), Alive),
        ("5.1.1 an even identifier", |c| _ = c.get(2), Connection(1)),
        ("5.1.1 a smaller identifier", |c| _ = c.get(5).get(3), Connection(1)),
        (
            "5.1.2 more streams than allowed",
            |c| {
                c.answering = false;
                (0..=128).for_each(|i| _ = c.get(2 * i + 1));
            },
            Stream(7),
        ),
        (
            "5.3.1 HEADERS that depend on themselves",
            |c| _ = c.frame(kind::HEADERS, 0x25, 1, &[&[0, 0, 0, 1, 255], GET].concat()),
            Connection(1),
        ),
        ("5.3.1 PRIORITY that depends on itself", |c| _ = c.frame(kind::PRIORITY, 0, 2, &[0, 0, 0, 2, 255]), Connection(1)),
        ("5.4.1 after an error there is GOAWAY", |c| _ = c.frame(kind::PING, 0, 3, b"12345678"), Connection(1)),
    ]);
}

#[test]
// tidy: table
fn frames_of_each_type() {
    run(&[
        ("6.1 DATA", |c| _ = c.post(1).frame(kind::DATA, 1, 1, b"test"), Answer),
        ("6.1 more DATA", |c| _ = c.post(1).frame(kind::DATA, 0, 1, b"test").frame(kind::DATA, 1, 1, b"test"), Answer),
        ("6.1 padded DATA", |c| _ = c.post(1).frame(kind::DATA, 9, 1, b"\x02test\0\0"), Answer),
        ("6.1 DATA of nothing but padding", |c| _ = c.post(1).frame(kind::DATA, 9, 1, b"\x02\0\0"), Answer),
        ("6.1 DATA on stream 0", |c| _ = c.frame(kind::DATA, 1, 0, b"test"), Connection(1)),
        ("6.1 DATA with too much padding", |c| _ = c.post(1).frame(kind::DATA, 9, 1, b"\x05test"), Connection(1)),
        ("6.1 padded DATA without a length", |c| _ = c.post(1).frame(kind::DATA, 9, 1, b""), Connection(6)),
        ("6.2 HEADERS", |c| _ = c.get(1), Answer),
        ("6.2 padded HEADERS", |c| _ = c.frame(kind::HEADERS, 0xd, 1, &[b"\x03", GET, b"\0\0\0"].concat()), Answer),
        ("6.2 HEADERS with priority", |c| _ = c.frame(kind::HEADERS, 0x25, 1, &[&[0, 0, 0, 0, 255], GET].concat()), Answer),
        ("6.2 HEADERS on stream 0", |c| _ = c.get(0), Connection(1)),
        ("6.2 HEADERS with too much padding", |c| _ = c.frame(kind::HEADERS, 0xd, 1, &[b"\x07", GET].concat()), Connection(1)),
        ("6.2 HEADERS too short for their flags", |c| _ = c.frame(kind::HEADERS, 0x2d, 1, b"\0\0\0"), Connection(6)),
        ("6.2 HEADERS of nothing", |c| _ = c.frame(kind::HEADERS, 5, 1, b""), Connection(6)),
        ("6.3 PRIORITY, then a lower stream", |c| _ = c.frame(kind::PRIORITY, 0, 3, &[0, 0, 0, 0, 0]).get(1), Answer),
        ("6.3 exclusive PRIORITY", |c| _ = c.frame(kind::PRIORITY, 0, 1, &[0x80, 0, 0, 0, 255]).get(1), Answer),
        ("6.3 PRIORITY on stream 0", |c| _ = c.frame(kind::PRIORITY, 0, 0, &[0, 0, 0, 1, 9]), Connection(1)),
        ("6.3 PRIORITY of 4 bytes", |c| _ = c.frame(kind::PRIORITY, 0, 1, &[0, 0, 0, 0]), Connection(6)),
        ("6.4 RST_STREAM on stream 0", |c| _ = c.frame(kind::RST_STREAM, 0, 0, &[0, 0, 0, 8]), Connection(1)),
        ("6.4 RST_STREAM of 3 bytes", |c| _ = c.post(1).frame(kind::RST_STREAM, 0, 1, &[0, 0, 0]), Connection(6)),
        ("7 RST_STREAM with an unknown code", |c| _ = c.post(1).frame(kind::RST_STREAM, 0, 1, &[0, 0, 0, 0xff]), Alive),
        ("6.5 SETTINGS", |c| _ = c.frame(kind::SETTINGS, 0, 0, &[0, 3, 0, 0, 0, 9]), Alive),
        ("6.5 an acknowledgement with content", |c| _ = c.frame(kind::SETTINGS, 1, 0, &[0]), Connection(6)),
        ("6.5 SETTINGS on a stream", |c| _ = c.frame(kind::SETTINGS, 0, 1, &[0, 3, 0, 0, 0, 9]), Connection(1)),
        ("6.5 SETTINGS of 3 bytes", |c| _ = c.frame(kind::SETTINGS, 0, 0, &[0, 3, 0]), Connection(6)),
        ("6.5.2 ENABLE_PUSH of 2", |c| _ = c.frame(kind::SETTINGS, 0, 0, &[0, 2, 0, 0, 0, 2]), Connection(1)),
        ("6.5.2 too large a window", |c| _ = c.frame(kind::SETTINGS, 0, 0, &[0, 4, 0x80, 0, 0, 0]), Connection(3)),
        ("6.5.2 too small a frame", |c| _ = c.frame(kind::SETTINGS, 0, 0, &[0, 5, 0, 0, 0x3f, 0xff]), Connection(1)),
        ("6.5.2 too large a frame", |c| _ = c.frame(kind::SETTINGS, 0, 0, &[0, 5, 1, 0, 0, 0]), Connection(1)),
        ("6.5.2 an unknown setting", |c| _ = c.frame(kind::SETTINGS, 0, 0, &[0, 0xff, 0, 0, 0, 1]), Alive),
        ("6.7 PING", |c| _ = c.frame(kind::PING, 0, 0, b"87654321"), Alive),
        ("6.7 PING's answer is not answered", |c| _ = c.frame(kind::PING, 1, 0, b"invalid!"), Alive),
        ("6.7 PING on a stream", |c| _ = c.frame(kind::PING, 0, 1, b"12345678"), Connection(1)),
        ("6.7 PING of 6 bytes", |c| _ = c.frame(kind::PING, 0, 0, b"123456"), Connection(6)),
        ("6.8 GOAWAY on a stream", |c| _ = c.frame(kind::GOAWAY, 0, 1, &[0; 8]), Connection(1)),
        ("6.8 GOAWAY with a text", |c| _ = c.frame(kind::GOAWAY, 0, 0, b"\0\0\0\0\0\0\0\0bye"), Alive),
        ("6.8 GOAWAY of 7 bytes", |c| _ = c.frame(kind::GOAWAY, 0, 0, &[0; 7]), Connection(6)),
        ("7 GOAWAY with an unknown code", |c| _ = c.frame(kind::GOAWAY, 0, 0, &[0, 0, 0, 0, 0, 0, 0, 0xff]), Alive),
        ("6.9 WINDOW_UPDATE", |c| _ = c.frame(kind::WINDOW_UPDATE, 0, 0, &[0, 0, 0, 1]), Alive),
        ("6.9 WINDOW_UPDATE of 0", |c| _ = c.frame(kind::WINDOW_UPDATE, 0, 0, &[0; 4]), Connection(1)),
        ("6.9 WINDOW_UPDATE of 0 on a stream", |c| _ = c.post(1).frame(kind::WINDOW_UPDATE, 0, 1, &[0; 4]), Connection(1)),
        ("6.9 WINDOW_UPDATE of 3 bytes", |c| _ = c.frame(kind::WINDOW_UPDATE, 0, 0, &[0, 0, 1]), Connection(6)),
        ("6.9.1 a connection's window overflows", |c| _ = c.frame(kind::WINDOW_UPDATE, 0, 0, &[0x7f, 255, 255, 255]), Connection(3)),
        ("6.9.1 a stream's window overflows", |c| _ = c.post(1).frame(kind::WINDOW_UPDATE, 0, 1, &[0x7f, 255, 255, 255]), Stream(3)),
        (
            "6.9.2 SETTINGS overflow a stream's window",
            |c| {
                c.answering = false;
                c.get(1).frame(kind::WINDOW_UPDATE, 0, 1, &[0x7f, 255, 0, 0]).frame(kind::SETTINGS, 0, 0, &[0, 4, 0x7f, 255, 255, 255]);
            },
            Stream(3),
        ),
        (
            "6.10 CONTINUATIONs",
            |c| {
                c.frame(kind::HEADERS, 1, 1, &GET[..2]).frame(kind::CONTINUATION, 0, 1, &GET[2..4]).frame(
                    kind::CONTINUATION,
                    4,
                    1,
                    &GET[4..],
                );
            },
            Answer,
        ),
        ("6.10 another frame between", |c| _ = c.frame(kind::HEADERS, 1, 1, GET).frame(kind::DATA, 1, 1, b"test"), Connection(1)),
        ("6.10 CONTINUATION on stream 0", |c| _ = c.frame(kind::HEADERS, 1, 1, GET).frame(kind::CONTINUATION, 4, 0, b""), Connection(1)),
        ("6.10 CONTINUATION behind a complete block", |c| _ = c.post(1).frame(kind::CONTINUATION, 4, 1, GET), Connection(1)),
        (
            "6.10 CONTINUATION behind DATA",
            |c| _ = c.post(1).frame(kind::DATA, 1, 1, b"x").frame(kind::CONTINUATION, 4, 1, GET),
            Connection(1),
        ),
    ]);
}

#[test]
// tidy: table
fn messages() {
    run(&[
        ("8.1 trailers", |c| _ = c.post(1).frame(kind::DATA, 0, 1, b"x").frame(kind::HEADERS, 5, 1, b"\0\x01x\x01y"), Answer),
        ("8.1 a second HEADERS without END_STREAM", |c| _ = c.post(1).post(1), Stream(1)),
        ("8.2 upper case", |c| _ = c.frame(kind::HEADERS, 5, 1, &with(b"\0\x01X\x01y")), Malformed),
        ("8.2.1 NUL in a value", |c| _ = c.frame(kind::HEADERS, 5, 1, &with(b"\0\x01x\x01\0")), Malformed),
        ("8.2.1 a space in a name", |c| _ = c.frame(kind::HEADERS, 5, 1, &with(b"\0\x03x y\x01z")), Malformed),
        ("8.2.2 connection", |c| _ = c.frame(kind::HEADERS, 5, 1, &with(b"\0\x0aconnection\x0akeep-alive")), Malformed),
        ("8.2.2 te", |c| _ = c.frame(kind::HEADERS, 5, 1, &with(b"\0\x02te\x04gzip")), Malformed),
        ("8.2.2 te: trailers", |c| _ = c.frame(kind::HEADERS, 5, 1, &with(b"\0\x02te\x08trailers")), Answer),
        ("8.3 an unknown pseudo-header", |c| _ = c.frame(kind::HEADERS, 5, 1, &with(b"\0\x05:test\x02ok")), Malformed),
        ("8.3 a response's pseudo-header", |c| _ = c.frame(kind::HEADERS, 5, 1, &with(b"\x88")), Malformed),
        ("8.3 a pseudo-header in trailers", |c| _ = c.post(1).frame(kind::HEADERS, 5, 1, b"\x82"), Malformed),
        ("8.3 a pseudo-header behind a field", |c| _ = c.frame(kind::HEADERS, 5, 1, b"\x87\x84\0\x01x\x01y\x82"), Malformed),
        ("8.3.1 an empty :path", |c| _ = c.frame(kind::HEADERS, 5, 1, b"\x82\x87\x04\0\x01\x01a"), Malformed),
        ("8.3.1 no :method", |c| _ = c.frame(kind::HEADERS, 5, 1, b"\x87\x84\x01\x01a"), Malformed),
        ("8.3.1 no :scheme", |c| _ = c.frame(kind::HEADERS, 5, 1, b"\x82\x84\x01\x01a"), Malformed),
        ("8.3.1 no :path", |c| _ = c.frame(kind::HEADERS, 5, 1, b"\x82\x87\x01\x01a"), Malformed),
        ("8.3.1 no :authority and no host", |c| _ = c.frame(kind::HEADERS, 5, 1, b"\x82\x87\x84"), Malformed),
        ("8.3.1 two of :method", |c| _ = c.frame(kind::HEADERS, 5, 1, &[b"\x82", GET].concat()), Malformed),
        ("8.3.1 two of :scheme", |c| _ = c.frame(kind::HEADERS, 5, 1, &[b"\x87", GET].concat()), Malformed),
        ("8.3.1 two of :path", |c| _ = c.frame(kind::HEADERS, 5, 1, &[b"\x84", GET].concat()), Malformed),
        (
            "8.1.1 content-length, less DATA",
            |c| _ = c.frame(kind::HEADERS, 4, 1, &with(b"\x0f\x0d\x019")).frame(kind::DATA, 1, 1, b"test"),
            Malformed,
        ),
        (
            "8.1.1 content-length, more DATA",
            |c| _ = c.frame(kind::HEADERS, 4, 1, &with(b"\x0f\x0d\x011")).frame(kind::DATA, 1, 1, b"test"),
            Malformed,
        ),
        (
            "8.1.1 content-length, more in all",
            |c| _ = c.frame(kind::HEADERS, 4, 1, &with(b"\x0f\x0d\x015")).frame(kind::DATA, 0, 1, b"test").frame(kind::DATA, 1, 1, b"test"),
            Malformed,
        ),
        ("8.1.1 content-length without DATA", |c| _ = c.frame(kind::HEADERS, 5, 1, &with(b"\x0f\x0d\x011")), Malformed),
        (
            "8.1.1 content-length that fits",
            |c| _ = c.frame(kind::HEADERS, 4, 1, &with(b"\x0f\x0d\x014")).frame(kind::DATA, 1, 1, b"test"),
            Answer,
        ),
        (
            "8.1.1 content-length, then trailers",
            |c| _ = c.frame(kind::HEADERS, 4, 1, &with(b"\x0f\x0d\x014")).frame(kind::HEADERS, 5, 1, b"\0\x01x\x01y"),
            Malformed,
        ),
    ]);
}

#[test]
// tidy: table
fn header_compression() {
    run(&[
        ("an indexed field", |c| _ = c.frame(kind::HEADERS, 5, 1, &with(b"\x90")), Answer),
        ("indexing, indexed name", |c| _ = c.frame(kind::HEADERS, 5, 1, &with(b"\x7a\x01a")), Answer),
        ("indexing, new name", |c| _ = c.frame(kind::HEADERS, 5, 1, &with(b"\x40\x01a\x01b\xbe")), Answer),
        ("no indexing, new name", |c| _ = c.frame(kind::HEADERS, 5, 1, &with(b"\0\x81\x1f\x81\x1f")), Answer),
        ("never indexed", |c| _ = c.frame(kind::HEADERS, 5, 1, &with(b"\x10\x01a\x01b")), Answer),
        ("a size update", |c| _ = c.frame(kind::HEADERS, 5, 1, &[b"\x20", GET].concat()), Answer),
        ("two size updates", |c| _ = c.frame(kind::HEADERS, 5, 1, &[b"\x20\x3f\xe1\x1f", GET].concat()), Answer),
        ("an index that is not there", |c| _ = c.frame(kind::HEADERS, 5, 1, b"\xc6"), Connection(9)),
        ("a name's index that is not there", |c| _ = c.frame(kind::HEADERS, 5, 1, b"\x7f\x07\x01a"), Connection(9)),
        ("a size update at the end", |c| _ = c.frame(kind::HEADERS, 5, 1, &with(b"\x20")), Connection(9)),
        ("a size update that is too large", |c| _ = c.frame(kind::HEADERS, 5, 1, &[b"\x3f\xe2\x1f", GET].concat()), Connection(9)),
        ("long padding", |c| _ = c.frame(kind::HEADERS, 5, 1, &with(b"\0\x01a\x82\x1f\xff")), Connection(9)),
        ("padding of zeros", |c| _ = c.frame(kind::HEADERS, 5, 1, &with(b"\0\x01a\x81\x18")), Connection(9)),
        ("an end of string", |c| _ = c.frame(kind::HEADERS, 5, 1, &with(b"\0\x01a\x84\xff\xff\xff\xff")), Connection(9)),
        ("index 0", |c| _ = c.frame(kind::HEADERS, 5, 1, b"\x80"), Connection(9)),
    ]);
}
