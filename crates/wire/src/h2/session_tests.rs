use super::client_tests::{Client, GET, Sent};
use super::error::ErrorCode;
use super::frame::kind;
use super::priority::Priority;
use super::{Codec, Config, Event};
use crate::hpack::{Decoder, Fields, Limits};

fn waiting() -> Client {
    let mut client = Client::new();
    client.answering = false;
    client
}

fn respond(client: &mut Client, stream: u32) {
    assert!(client.server.respond(stream, 200, [], false, &mut client.out));
}

#[test]
fn requests_and_bodies_become_events() {
    let mut client = Client::new();
    client.get(1).post(3).frame(kind::DATA, 0, 3, b"ab").frame(kind::DATA, 9, 3, b"\x01c\0");
    client.post(5).frame(kind::DATA, 0, 5, b"x").frame(kind::HEADERS, 5, 5, b"\0\x01a\x01b");
    assert_eq!(
        client.events,
        ["request 1 true", "request 3 false", "data 3 2 false", "data 3 1 true", "request 5 false", "data 5 1 false", "trailers 5"]
    );
}

#[test]
fn any_cut_of_the_input_is_the_same() {
    let mut whole = Client::new();
    let mut pieces = Client::new();
    let mut input = vec![];
    for (kind, flags, stream, payload) in [
        (kind::HEADERS, 0xd, 1, [b"\x02", GET, b"\0\0"].concat()),
        (kind::HEADERS, 0x20, 3, [&[0, 0, 0, 1, 9], GET].concat()),
        (kind::CONTINUATION, 4, 3, b"\0\x01a\x81\x1f".to_vec()),
        (kind::PING, 0, 0, b"12345678".to_vec()),
        (kind::DATA, 8, 3, b"\x02abc\0\0".to_vec()),
        (kind::SETTINGS, 0, 0, vec![0, 4, 0, 0, 0, 9]),
        (kind::DATA, 1, 3, vec![]),
    ] {
        super::frame::FrameHead { len: payload.len(), kind, flags, stream }.write(&mut input);
        input.extend_from_slice(&payload);
    }
    whole.bytes(&input);
    for byte in input.chunks(1) {
        pieces.bytes(byte);
    }
    let content = |events: &[String]| -> Vec<String> { events.iter().filter(|event| !event.starts_with("data")).cloned().collect() };
    assert_eq!(content(&whole.events), content(&pieces.events));
    assert_eq!(whole.sent(), pieces.sent());
}

#[test]
fn sending_stops_at_the_windows_and_goes_on() {
    let mut client = waiting();
    client.frame(kind::SETTINGS, 0, 0, &[0, 4, 0, 0, 0, 3]).get(1);
    respond(&mut client, 1);
    assert_eq!(client.server.data(1, b"hello", true, &mut client.out), 3);
    client.server.queue(1);
    assert!(client.server.next_stream().is_none() && client.server.is_starved(1));
    client.frame(kind::WINDOW_UPDATE, 0, 1, &[0, 0, 0, 1]);
    assert_eq!(client.server.next_stream(), Some(1));
    assert_eq!(client.server.data(1, b"lo", true, &mut client.out), 1);
    client.server.queue(1);
    // A larger initial window opens it, RFC 9113, 6.9.2.
    client.frame(kind::SETTINGS, 0, 0, &[0, 4, 0, 0, 0, 9]);
    assert_eq!(client.server.next_stream(), Some(1));
    assert_eq!(client.server.data(1, b"o", true, &mut client.out), 1);
    let sent: Vec<Sent> = client.sent().into_iter().filter(|sent| matches!(sent, Sent::Data(..))).collect();
    assert_eq!(sent, [Sent::Data(1, 3, false), Sent::Data(1, 1, false), Sent::Data(1, 1, true)]);
}

#[test]
fn a_body_that_nobody_reads_has_its_length_too() {
    let post = |length: &[u8]| [b"\x83\x86\x84\x01\x01a\x0f\x0d\x01", length].concat();
    for (length, pieces, reset) in
        [(b"4", &[&b"te"[..], b"st"][..], false), (b"5", &[b"test"], true), (b"3", &[b"test"], true), (b"3", &[b"te", b"st"], true)]
    {
        let mut client = waiting();
        client.frame(kind::HEADERS, 4, 1, &post(length));
        client.server.discard(1);
        for (index, piece) in pieces.iter().enumerate() {
            client.frame(kind::DATA, u8::from(index + 1 == pieces.len()), 1, piece);
        }
        let told = client.events.iter().filter(|event| event.starts_with("data 1 0")).count();
        assert_eq!((told, client.sent().len()), (usize::from(reset), 0), "{length:?} {pieces:?}");
        // The answer leaves in front of the reset.
        client.answer(1, reset);
        let end = [Sent::Data(1, 5, !reset), Sent::Reset(1, 1)];
        let sent: Vec<Sent> = client.sent().into_iter().filter(|sent| matches!(sent, Sent::Data(..) | Sent::Reset(..))).collect();
        assert_eq!(sent, end[..1 + usize::from(reset)], "{length:?} {pieces:?}");
    }
}

#[test]
fn a_connection_that_has_failed_lets_nobody_send() {
    let mut client = waiting();
    client.get(1).get(3);
    for stream in [1, 3] {
        respond(&mut client, stream);
        client.server.queue(stream);
    }
    // A frame in the middle of nothing fails the connection (RFC 9113, 6.10) while both have content.
    client.frame(kind::CONTINUATION, 4, 1, b"");
    assert_eq!((client.server.next_stream(), client.server.quota(1)), (None, 0));
    client.server.queue(1);
    assert_eq!(client.server.next_stream(), None);
}

#[test]
fn a_negative_window_is_waited_out() {
    let mut client = waiting();
    client.frame(kind::SETTINGS, 0, 0, &[0, 4, 0, 0, 0, 3]).get(1);
    respond(&mut client, 1);
    client.server.data(1, b"abc", false, &mut client.out);
    client.frame(kind::SETTINGS, 0, 0, &[0, 4, 0, 0, 0, 2]).frame(kind::WINDOW_UPDATE, 0, 1, &[0, 0, 0, 1]);
    assert_eq!(client.server.quota(1), 0);
    client.frame(kind::WINDOW_UPDATE, 0, 1, &[0, 0, 0, 1]);
    assert_eq!(client.server.quota(1), 1);
    // An end without content needs no window.
    client.server.data(1, b"x", false, &mut client.out);
    assert_eq!((client.server.quota(1), client.server.data(1, b"", true, &mut client.out)), (0, 0));
    assert_eq!(client.sent().last(), Some(&Sent::Data(1, 0, true)));
}

#[test]
fn the_connections_window_holds_all_back() {
    let mut client = waiting();
    client.frame(kind::SETTINGS, 0, 0, &[0, 4, 0x7f, 0, 0, 0]).get(1).get(3);
    for stream in [1, 3] {
        respond(&mut client, stream);
        client.server.queue(stream);
    }
    assert_eq!(client.server.next_stream(), Some(1));
    assert_eq!(client.server.data(1, &[0; 70_000], false, &mut client.out), 65_535);
    assert!(client.server.is_blocked() && client.server.next_stream().is_none());
    client.frame(kind::WINDOW_UPDATE, 0, 0, &[0, 0, 0, 9]);
    assert_eq!((client.server.next_stream(), client.server.quota(3)), (Some(3), 9));
}

#[test]
fn a_body_is_held_back_until_it_is_released() {
    let mut client = waiting();
    client.server = Codec::new(Config { window: 100, ..Config::default() }, &mut vec![]);
    client.bytes(super::frame::PREFACE).frame(kind::SETTINGS, 1, 0, b"").post(1);
    client.frame(kind::DATA, 0, 1, &[0; 40]);
    assert!(client.sent().is_empty());
    assert_eq!(client.server.receive_window(1), 60);
    client.frame(kind::DATA, 0, 1, &[0; 20]);
    // The harness released all: half of the window makes a frame, and as nothing is unread, the window grows.
    assert_eq!(client.sent(), [Sent::Window(1, 160)]);
    client.frame(kind::DATA, 0, 1, &[0; 201]);
    assert_eq!(client.sent(), [Sent::Reset(1, 3)]);
    assert_eq!(client.events.last().map(String::as_str), Some("error 1"));
}

#[test]
fn a_stream_with_a_body_waits_for_the_acknowledgement_of_a_small_window() {
    let mut client = waiting();
    client.server = Codec::new(Config { window: 0, ..Config::default() }, &mut vec![]);
    client.bytes(super::frame::PREFACE).post(1).get(3);
    assert_eq!(client.sent(), [Sent::Reset(1, 7)]);
    assert_eq!(client.events, ["Refused { stream: 1, reason: Unacknowledged }", "request 3 true"]);
}

#[test]
fn draining_takes_what_is_on_its_way() {
    let mut client = waiting();
    client.get(1);
    client.server.drain(&mut client.out);
    assert_eq!(client.sent(), [Sent::GoAway(0x7fff_ffff, 0)]);
    client.get(3);
    assert_eq!(client.server.open(), 2);
    client.frame(kind::PING, 1, 0, b"draining");
    assert_eq!(client.sent(), [Sent::GoAway(3, 0)]);
    assert_eq!(client.events.last().map(String::as_str), Some("Drained"));
    // What comes now is not taken, but its header block is read for the table's sake.
    client.frame(kind::HEADERS, 4, 5, &[GET, b"\x40\x01a\x01b"].concat()).frame(kind::DATA, 1, 5, b"x");
    assert!(client.sent().is_empty() && !client.server.is_over() && client.failure.is_none());
    for stream in [1, 3] {
        client.answer(stream, false);
    }
    assert!(client.server.is_over());
}

#[test]
fn goaway_at_once_names_the_last_stream() {
    let mut client = waiting();
    client.get(7);
    client.server.goaway(ErrorCode::NO_ERROR, &mut client.out);
    client.server.goaway(ErrorCode::NO_ERROR, &mut client.out);
    assert_eq!(client.sent(), [Sent::GoAway(7, 0)]);
    client.answer(7, false);
    assert!(client.server.is_over());
}

#[test]
fn a_client_that_sent_goaway_may_still_ask() {
    for open in [false, true] {
        let mut client = waiting();
        if open {
            client.get(1);
        }
        client.frame(kind::GOAWAY, 0, 0, &[0; 8]);
        assert!(!client.server.is_over(), "open {open}");
        client.get(3);
        assert_eq!(client.events.last().map(String::as_str), Some("request 3 true"), "open {open}");
        if open {
            client.answer(1, false);
        }
        client.answer(3, false);
        assert!(!client.server.is_over() && client.failure.is_none(), "open {open}");
    }
}

#[test]
fn a_failure_behind_a_draining_goaway_still_says_why() {
    let mut client = waiting();
    client.server.goaway(ErrorCode::NO_ERROR, &mut client.out);
    client.out.clear();
    client.frame(kind::PING, 0, 1, b"12345678");
    assert_eq!(client.sent(), [Sent::GoAway(0, 1)]);
}

#[test]
fn what_is_closed_early_is_reset() {
    let mut client = waiting();
    client.post(1).get(3).post(5);
    client.server.close(1, &mut client.out);
    respond(&mut client, 3);
    client.server.close(3, &mut client.out);
    client.server.respond(5, 200, [], true, &mut client.out);
    client.server.close(5, &mut client.out);
    let resets: Vec<Sent> = client.sent().into_iter().filter(|sent| matches!(sent, Sent::Reset(..))).collect();
    assert_eq!(resets, [Sent::Reset(1, 2), Sent::Reset(3, 2), Sent::Reset(5, 0)]);
    // DATA that was on its way is no error.
    client.frame(kind::DATA, 1, 5, b"late").frame(kind::DATA, 1, 1, b"late");
    assert!(client.failure.is_none() && client.sent().is_empty());
}

#[test]
fn nothing_is_sent_on_a_stream_that_is_over() {
    let mut client = waiting();
    client.get(1);
    assert!(!client.server.data_head(1, 0, true, &mut client.out), "content before a head");
    assert!(!client.server.trailers(1, [], &mut client.out), "trailers before a head");
    assert!(client.server.respond(1, 103, [(&b"link"[..], &b"</a>"[..])], true, &mut client.out));
    assert!(client.server.respond(1, 200, [], false, &mut client.out));
    assert!(!client.server.respond(1, 200, [], false, &mut client.out), "a second head");
    assert!(client.server.trailers(1, [(&b"a"[..], &b"b"[..])], &mut client.out));
    assert_eq!(client.server.data(1, b"x", true, &mut client.out), 0);
    assert_eq!(client.sent(), [Sent::Headers(1, false), Sent::Headers(1, false), Sent::Headers(1, true)]);
    client.server.close(1, &mut client.out);
    assert!(!client.server.respond(9, 200, [], false, &mut client.out) && client.out.is_empty());
}

#[test]
fn priorities_decide_who_sends() {
    let mut client = waiting();
    for stream in [1, 3, 5] {
        client.get(stream);
        respond(&mut client, stream);
    }
    client.frame(kind::PRIORITY_UPDATE, 0, 0, b"\0\0\0\x05u=1");
    client.server.set_priority(1, Priority { urgency: 6, incremental: true });
    for stream in [1, 3, 5] {
        client.server.queue(stream);
    }
    assert_eq!([1, 2, 3].map(|_| client.server.next_stream()), [Some(5), Some(3), Some(1)]);
    // RFC 7540's: the fifth and third stream depend on each other, and PRIORITY came late.
    for stream in [1, 3, 5] {
        client.server.queue(stream);
    }
    client.server.set_priority(1, Priority::default());
    client.server.set_priority(5, Priority::default());
    client.frame(kind::PRIORITY, 0, 1, &[0, 0, 0, 5, 15]);
    client.frame(kind::PRIORITY, 0, 3, &[0, 0, 0, 0, 255]);
    assert_eq!([1, 2, 3].map(|_| client.server.next_stream()), [Some(3), Some(5), Some(1)]);
}

#[test]
fn a_priority_that_comes_before_its_stream_is_kept() {
    let mut client = waiting();
    for stream in 1..50 {
        client.frame(kind::PRIORITY_UPDATE, 0, 0, &[&[0, 0, 0, 2 * stream + 1][..], b"u=6"].concat());
    }
    client.frame(kind::PRIORITY_UPDATE, 0, 0, b"\0\0\0\x63u=0, i");
    client.get(91).frame(kind::HEADERS, 5, 99, &[GET, b"\0\x08priority\x03u=5"].concat());
    assert_eq!(client.server.priority(91), Some(Priority { urgency: 6, incremental: false }));
    assert_eq!(client.server.priority(99), Some(Priority { urgency: 0, incremental: true }));
    assert!(client.server.early.is_empty());
}

#[test]
fn extended_connect_must_be_offered() {
    const CONNECT: &[u8] = b"\x02\x07CONNECT\x87\x84\x01\x01a\0\x09:protocol\x09websocket";
    let mut client = waiting();
    client.frame(kind::HEADERS, 4, 1, CONNECT);
    assert_eq!(client.events, ["request 1 false client sent unknown pseudo-header \":protocol\""]);
    let mut client = Client::with(Config { connect_protocol: true, ..Config::default() });
    client.answering = false;
    client.frame(kind::HEADERS, 4, 1, CONNECT).frame(kind::DATA, 0, 1, b"frame");
    assert_eq!(client.events, ["request 1 false", "data 1 5 false"]);
    client.frame(kind::HEADERS, 5, 3, b"\x02\x07CONNECT\x87\x84\x01\x01a");
    assert_eq!(client.events.last().map(String::as_str), Some("request 3 true client sent CONNECT method"));
}

#[test]
fn the_head_of_a_request_is_found_in_its_fields() {
    let mut out = vec![];
    let mut server = Codec::new(Config::default(), &mut out);
    let block = [GET, b"\0\x08priority\x06u=1, i\0\x06cookie\x01a\0\x06cookie\x01b\x0f\x0d\x013"].concat();
    let mut input = super::frame::PREFACE.to_vec();
    super::frame::FrameHead { len: block.len(), kind: kind::HEADERS, flags: 4, stream: 1 }.write(&mut input);
    input.extend_from_slice(&block);
    let poll = server.poll(&input, &mut out).unwrap();
    let Some(Event::Request { stream: 1, head, end: false, size, again: false }) = poll.event else { panic!("{poll:?}") };
    let buf = server.fields().bytes();
    assert_eq!((head.method.of(buf), head.path.of(buf), head.authority.unwrap().of(buf)), (&b"GET"[..], &b"/"[..], &b"a"[..]));
    assert_eq!((head.pseudo, head.content_length, head.fault, size), (4, Some(3), None, block.len()));
    assert_eq!(head.priority, Some(Priority { urgency: 1, incremental: true }));
}

/// What the server makes of one more frame: of a request, whether it is the last one again, and its fields.
fn repeated(server: &mut Codec, flags: u8, stream: u32, block: &[u8]) -> Option<(bool, Vec<(Vec<u8>, Vec<u8>)>)> {
    let (mut input, mut out) = (vec![], vec![]);
    super::frame::FrameHead { len: block.len(), kind: kind::HEADERS, flags, stream }.write(&mut input);
    input.extend_from_slice(block);
    let poll = server.poll(&input, &mut out).unwrap();
    let Some(Event::Request { head, again, .. }) = poll.event else { return None };
    assert_eq!((poll.used, head.fault), (input.len(), None));
    Some((again, server.fields().iter().map(|(name, value)| (name.to_vec(), value.to_vec())).collect()))
}

#[test]
fn a_block_that_comes_again_is_known_as_long_as_it_means_the_same() {
    let mut server = Codec::new(Config::default(), &mut vec![]);
    server.poll(super::frame::PREFACE, &mut vec![]).unwrap();
    // The first two enter a field into the table, so that the same bytes mean another field after them.
    let (learn_b, learn_c, newest) = ([GET, b"@\x01x\x01b"].concat(), [GET, b"@\x01x\x01c"].concat(), [GET, b"\xbe"].concat());
    let value = |found: Option<(bool, Vec<(Vec<u8>, Vec<u8>)>)>| found.map(|(again, fields)| (again, fields.last().unwrap().1.clone()));
    let b = |again| Some((again, b"b".to_vec()));
    assert_eq!(value(repeated(&mut server, 5, 1, &learn_b)), b(false));
    assert_eq!(value(repeated(&mut server, 5, 3, &learn_b)), b(false), "it has changed the table");
    assert_eq!(value(repeated(&mut server, 5, 5, &newest)), b(false));
    assert_eq!(value(repeated(&mut server, 5, 7, &newest)), b(true));
    let padded = [b"\x02", &newest[..], b"\0\0"].concat();
    let mut input = vec![];
    super::frame::FrameHead { len: padded.len(), kind: kind::HEADERS, flags: 0xd, stream: 9 }.write(&mut input);
    input.extend_from_slice(&padded);
    let poll = server.poll(&input, &mut vec![]).unwrap();
    assert!(matches!(poll.event, Some(Event::Request { stream: 9, again: true, end: true, .. })), "{poll:?}");
    assert_eq!(server.poll(&input[poll.used..], &mut vec![]).unwrap().used, 2, "the padding");
    assert_eq!(value(repeated(&mut server, 4, 11, &newest)), b(false), "a body follows this one");
    // Trailers have fields of their own.
    assert_eq!(repeated(&mut server, 5, 11, b"\0\x01t\x01v"), None);
    assert_eq!(value(repeated(&mut server, 4, 13, &newest)), b(false));
    assert_eq!(value(repeated(&mut server, 4, 15, &newest)), b(true));
    assert_eq!(value(repeated(&mut server, 5, 17, &learn_c)), Some((false, b"c".to_vec())));
    assert_eq!(value(repeated(&mut server, 4, 19, &newest)), Some((false, b"c".to_vec())));
    server.shrink();
    assert_eq!(value(repeated(&mut server, 4, 21, &newest)), Some((false, b"c".to_vec())));
}

#[test]
fn a_large_head_is_continued_and_read_again() {
    let mut client = waiting();
    client.get(1);
    let value = vec![b'\xff'; 40_000];
    client.server.respond(1, 200, [(&b"x"[..], &value[..])], true, &mut client.out);
    let mut block = vec![];
    let mut rest = &client.out[..];
    while let Some(head) = super::frame::FrameHead::parse(rest) {
        assert!(head.len <= 1 << 14);
        block.extend_from_slice(&rest[9..9 + head.len]);
        rest = &rest[9 + head.len..];
    }
    let limits = Limits { string: 100_000, total: 100_000, fields: 9 };
    let mut fields = Fields::default();
    Decoder::new(4096).decode(&block, true, &limits, &mut fields).unwrap();
    assert_eq!(fields.iter().nth(1), Some((&b"x"[..], &value[..])));
}

#[test]
fn prior_knowledge_is_seen_as_soon_as_it_can_be() {
    for (input, expected) in [
        ("", None),
        ("P", None),
        ("PRI * HTTP/2.0\r\n\r\nSM\r\n", None),
        ("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0", Some(true)),
        ("PR\0", Some(false)),
        ("POST / HTTP/1.1", Some(false)),
        ("PRI * HTTP/2.0\r\n\r\nxx", Some(false)),
    ] {
        assert_eq!(Codec::recognize(input.as_bytes()), expected, "{input:?}");
    }
}

#[test]
fn windows_grow_up_to_a_limit_and_a_small_one_becomes_usable() {
    let mut client = waiting();
    client.post(1);
    let chunk = [0; 16_000];
    for _ in 0..1000 {
        client.frame(kind::DATA, 0, 1, &chunk);
    }
    let window = client.server.receive_window(1);
    assert!((512 * 1024..=1024 * 1024).contains(&window), "{window}");
    let mut out = Vec::new();
    let mut server = Codec::new(Config { window: 0, ..Config::default() }, &mut vec![]);
    let mut input = super::frame::PREFACE.to_vec();
    super::frame::settings(&[], &mut input);
    super::frame::settings_ack(&mut input);
    input.extend_from_slice(b"\0\0\x06\x01\x04\0\0\0\x01\x83\x87\x84\x01\x01a");
    server.poll(&input, &mut out).unwrap();
    assert_eq!(server.receive_window(1), 0);
    server.enlarge_window(1, &mut out);
    assert_eq!(server.receive_window(1), 65_535);
}

#[test]
fn a_block_that_does_not_end_in_time_costs_its_stream_only() {
    let mut client = waiting();
    client.frame(kind::HEADERS, 1, 1, b"\x82\x87");
    assert_eq!(client.server.abandon_block(&mut client.out), Some(1));
    assert_eq!(client.sent(), [Sent::Reset(1, 1)]);
    client.frame(kind::CONTINUATION, 4, 1, b"\x84\x01\x01a");
    client.get(3);
    assert_eq!(client.events.last().map(String::as_str), Some("request 3 true"));
}

#[test]
fn a_fault_in_a_block_is_told_before_the_rest_has_come() {
    let mut client = waiting();
    client.bytes(b"\0\0\x05\x01\x05\0\0\0\x01\xff\xff\xff\xff");
    assert_eq!(client.sent().last(), Some(&Sent::GoAway(1, 9)));
}
