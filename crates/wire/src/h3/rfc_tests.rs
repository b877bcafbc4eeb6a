//! What RFC 9114 and RFC 9204 forbid, and the error code for each violation.

use super::error::Code;
use super::frame::{kind, setting, stream};
use super::tests::{codec, control, events, frame, integer, request, section};
use super::*;

/// On the stream of a request.
#[test]
fn streams_of_requests() {
    let get = || request(&[]);
    let cut = |mut bytes: Vec<u8>| {
        bytes.pop();
        bytes
    };
    let trailers = frame(kind::HEADERS, &section(&[("a", "b")]));
    let connect = [(":method", "CONNECT"), (":protocol", "websocket"), (":scheme", "https"), (":path", "/"), (":authority", "a")];
    let table: Vec<(&str, Vec<u8>, Code)> = vec![
        ("DATA before HEADERS", frame(kind::DATA, b"x"), Code::FRAME_UNEXPECTED),
        ("DATA behind trailers", [get(), trailers.clone(), frame(kind::DATA, b"x")].concat(), Code::FRAME_UNEXPECTED),
        ("HEADERS behind trailers", [get(), trailers.clone(), trailers].concat(), Code::FRAME_UNEXPECTED),
        ("SETTINGS", frame(kind::SETTINGS, &[]), Code::FRAME_UNEXPECTED),
        ("SETTINGS behind HEADERS", [get(), frame(kind::SETTINGS, &[])].concat(), Code::FRAME_UNEXPECTED),
        ("GOAWAY", frame(kind::GOAWAY, &[0]), Code::FRAME_UNEXPECTED),
        ("MAX_PUSH_ID", frame(kind::MAX_PUSH_ID, &[0]), Code::FRAME_UNEXPECTED),
        ("CANCEL_PUSH", frame(kind::CANCEL_PUSH, &[0]), Code::FRAME_UNEXPECTED),
        ("PUSH_PROMISE", [get(), frame(kind::PUSH_PROMISE, &[0])].concat(), Code::FRAME_UNEXPECTED),
        ("PRIORITY_UPDATE", [get(), frame(kind::PRIORITY_UPDATE, &[0])].concat(), Code::FRAME_UNEXPECTED),
        ("HTTP/2's PRIORITY", frame(0x2, &[]), Code::FRAME_UNEXPECTED),
        ("HTTP/2's PING", frame(0x6, &[0; 8]), Code::FRAME_UNEXPECTED),
        ("HTTP/2's WINDOW_UPDATE", frame(0x8, &[0; 4]), Code::FRAME_UNEXPECTED),
        ("HTTP/2's CONTINUATION", frame(0x9, &[]), Code::FRAME_UNEXPECTED),
        ("trailers in a tunnel", [frame(kind::HEADERS, &section(&connect)), get()].concat(), Code::FRAME_UNEXPECTED),
        ("HEADERS without content", frame(kind::HEADERS, &[]), Code::FRAME_ERROR),
        ("an end within a head", vec![1], Code::FRAME_ERROR),
        ("an end within HEADERS", cut(get()), Code::FRAME_ERROR),
        ("an end within DATA", [get(), cut(frame(kind::DATA, b"xy"))].concat(), Code::FRAME_ERROR),
        ("an end within an unknown frame", [get(), cut(frame(0x21, b"xy"))].concat(), Code::FRAME_ERROR),
        ("a section of one byte", frame(kind::HEADERS, &[0]), Code::DECOMPRESSION_FAILED),
        ("a static entry that is not there", frame(kind::HEADERS, &[0, 0, 0xff, 0x40]), Code::DECOMPRESSION_FAILED),
        ("a dynamic entry that is not there", frame(kind::HEADERS, &[0, 0, 0x80]), Code::DECOMPRESSION_FAILED),
        ("a Required Insert Count that cannot be", frame(kind::HEADERS, &[0xff, 0x20, 0]), Code::DECOMPRESSION_FAILED),
        ("a section that is cut", frame(kind::HEADERS, &[0, 0, 0x51, 5, b'a']), Code::DECOMPRESSION_FAILED),
    ];
    for (what, bytes, code) in table {
        for size in [1, 1000] {
            let result = events(&mut codec(), 0, &bytes, true, size);
            assert_eq!(result.as_ref().map_err(|failure| failure.code), Err(code), "{what} in pieces of {size}: {result:?}");
            assert!(result.is_err_and(|failure| !failure.text.is_empty() && !failure.reason.is_empty()));
        }
    }
}

/// On streams in one direction: numbers of streams, what comes there, and whether it ends.
#[test]
fn streams_in_one_direction() {
    let setting = |id: u64, value: u64| [integer(id), integer(value)].concat();
    let settings = |all: &[Vec<u8>]| [integer(stream::CONTROL), frame(kind::SETTINGS, &all.concat())].concat();
    let behind = |bytes: Vec<u8>| [control(), bytes].concat();
    let encoder = |bytes: &[u8]| [&integer(stream::ENCODER)[..], bytes].concat();
    let decoder = |bytes: &[u8]| [&integer(stream::DECODER)[..], bytes].concat();
    let table: Vec<(&str, Vec<u8>, Code)> = vec![
        ("no settings", [integer(0), frame(kind::GOAWAY, &[0])].concat(), Code::MISSING_SETTINGS),
        ("an unknown frame before settings", [integer(0), frame(0x21, &[])].concat(), Code::MISSING_SETTINGS),
        ("settings twice", behind(frame(kind::SETTINGS, &[])), Code::FRAME_UNEXPECTED),
        ("a setting twice", settings(&[setting(0x21, 1), setting(0x21, 1)]), Code::SETTINGS_ERROR),
        ("HTTP/2's ENABLE_PUSH", settings(&[setting(2, 0)]), Code::SETTINGS_ERROR),
        ("HTTP/2's MAX_CONCURRENT_STREAMS", settings(&[setting(3, 0)]), Code::SETTINGS_ERROR),
        ("HTTP/2's INITIAL_WINDOW_SIZE", settings(&[setting(4, 0)]), Code::SETTINGS_ERROR),
        ("HTTP/2's MAX_FRAME_SIZE", settings(&[setting(5, 0)]), Code::SETTINGS_ERROR),
        ("a switch that is 2", settings(&[setting(setting::ENABLE_CONNECT_PROTOCOL, 2)]), Code::SETTINGS_ERROR),
        ("a setting that is cut", settings(&[vec![0x21]]), Code::FRAME_ERROR),
        ("settings without end", [integer(0), integer(4), integer(1 << 20)].concat(), Code::EXCESSIVE_LOAD),
        ("DATA", behind(frame(kind::DATA, &[])), Code::FRAME_UNEXPECTED),
        ("HEADERS", behind(frame(kind::HEADERS, &[])), Code::FRAME_UNEXPECTED),
        ("PUSH_PROMISE", behind(frame(kind::PUSH_PROMISE, &[0])), Code::FRAME_UNEXPECTED),
        ("HTTP/2's PING", behind(frame(0x6, &[])), Code::FRAME_UNEXPECTED),
        ("CANCEL_PUSH", behind(frame(kind::CANCEL_PUSH, &[0])), Code::ID_ERROR),
        ("CANCEL_PUSH without content", behind(frame(kind::CANCEL_PUSH, &[])), Code::FRAME_ERROR),
        ("GOAWAY that is too long", behind(frame(kind::GOAWAY, &[0, 0])), Code::FRAME_ERROR),
        ("GOAWAY that grows", behind([frame(kind::GOAWAY, &[1]), frame(kind::GOAWAY, &[2])].concat()), Code::ID_ERROR),
        ("MAX_PUSH_ID that is too long", behind(frame(kind::MAX_PUSH_ID, &[0, 0])), Code::FRAME_ERROR),
        ("MAX_PUSH_ID that shrinks", behind([frame(kind::MAX_PUSH_ID, &[2]), frame(kind::MAX_PUSH_ID, &[1])].concat()), Code::ID_ERROR),
        ("PRIORITY_UPDATE of no request", behind(frame(kind::PRIORITY_UPDATE, &[1])), Code::ID_ERROR),
        ("PRIORITY_UPDATE far ahead", behind(frame(kind::PRIORITY_UPDATE, &integer(4000))), Code::ID_ERROR),
        ("PRIORITY_UPDATE of a push", behind(frame(kind::PRIORITY_UPDATE_PUSH, &[0])), Code::ID_ERROR),
        ("a push of the client", integer(stream::PUSH), Code::STREAM_CREATION_ERROR),
        ("too much capacity", encoder(&[0x3f, 0xe2, 0x1f]), Code::ENCODER_STREAM_ERROR),
        ("an entry larger than the table", encoder(&[0x41, 0x61, 0]), Code::ENCODER_STREAM_ERROR),
        ("an entry that is not there", encoder(&[0]), Code::ENCODER_STREAM_ERROR),
        ("a section that was not sent", decoder(&[0x80]), Code::DECODER_STREAM_ERROR),
        ("an increment of nothing", decoder(&[0]), Code::DECODER_STREAM_ERROR),
        ("an increment of too much", decoder(&[1]), Code::DECODER_STREAM_ERROR),
    ];
    for (what, bytes, code) in table {
        for size in [1, 1000] {
            let mut codec = codec();
            let result = bytes.chunks(size).try_for_each(|piece| codec.receive_uni(2, piece, false).map(drop));
            assert_eq!(result.as_ref().map_err(|failure| failure.code), Err(code), "{what} in pieces of {size}: {result:?}");
        }
    }
}

#[test]
fn streams_that_the_connection_needs() {
    for bytes in [control(), integer(stream::ENCODER), integer(stream::DECODER)] {
        let failed = |result: Result<UniStreamKind, error::Failure>| result.map_err(|failure| failure.code);
        let mut first = codec();
        assert_eq!(failed(first.receive_uni(2, &bytes, true)), Err(Code::CLOSED_CRITICAL_STREAM));
        let mut second = codec();
        assert_eq!(failed(second.receive_uni(2, &bytes, false)), Ok(UniStreamKind::Wanted));
        assert_eq!(second.uni_ended(2).map_err(|failure| failure.code), Err(Code::CLOSED_CRITICAL_STREAM));
        let mut third = codec();
        assert_eq!(failed(third.receive_uni(2, &bytes, false)), Ok(UniStreamKind::Wanted));
        assert_eq!(failed(third.receive_uni(6, &bytes, false)), Err(Code::STREAM_CREATION_ERROR));
    }
}

#[test]
fn what_means_nothing_is_no_error() {
    let mut codec = codec();
    assert_eq!(codec.receive_uni(2, &[integer(0x21), vec![1, 2, 3]].concat(), false), Ok(UniStreamKind::Unknown));
    assert_eq!(codec.receive_uni(6, &integer(1 << 40)[..3], false), Ok(UniStreamKind::Wanted));
    assert_eq!(codec.receive_uni(6, &integer(1 << 40)[3..], false), Ok(UniStreamKind::Unknown));
    // A stream that ends before its type.
    assert_eq!(codec.receive_uni(10, &[0x40], true), Ok(UniStreamKind::Wanted));
    let more = [frame(0x21, b"abc"), frame(kind::GOAWAY, &[0]), frame(kind::MAX_PUSH_ID, &[3]), frame(0xf0_700 + 99, &[])].concat();
    assert_eq!(codec.receive_uni(14, &[control(), more].concat(), false), Ok(UniStreamKind::Wanted));
    let settings = [integer(0), frame(kind::SETTINGS, &[integer(0x1f * 9 + 0x21), integer(7)].concat())].concat();
    assert_eq!(super::tests::codec().receive_uni(2, &settings, false), Ok(UniStreamKind::Wanted));
}

#[test]
fn too_many_sections_that_wait() {
    let mut codec = codec();
    let waiting = frame(kind::HEADERS, &[2, 0, 0x80]);
    for id in 0..8 {
        assert_eq!(events(&mut codec, id * 4, &waiting, false, 1000).unwrap(), ["Blocked"]);
    }
    let failure = events(&mut codec, 32, &waiting, false, 1000).unwrap_err();
    assert_eq!((failure.code, failure.reason), (Code::DECOMPRESSION_FAILED, "too many blocked streams"));
}
