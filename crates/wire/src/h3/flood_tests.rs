//! Limits on what a client may do without making requests.

use super::error::{Code, Failure};
use super::frame::{kind, stream};
use super::tests::{codec, control, events, frame, integer, request};
use super::*;

/// Repeats until the connection ends; how often that was. A million times is no end.
fn until(mut each: impl FnMut(u64) -> Result<(), Failure>) -> u64 {
    let failed = (0..1_000_000).find_map(|turn| each(turn).err().map(|failure| (turn, failure)));
    let (turn, failure) = failed.expect("it never ends");
    assert_eq!((failure.code, &*failure.text), (Code::EXCESSIVE_LOAD, "http3 flood detected"));
    turn
}

#[test]
fn requests_that_are_reset() {
    let mut codec = codec();
    let turns = until(|turn| {
        events(&mut codec, turn * 4, &request(&[]), false, 1000)?;
        codec.reset_by_peer()?;
        codec.close_request(turn * 4);
        codec.server_stream(ServerStream::Decoder).clear();
        Ok(())
    });
    assert!((100..2000).contains(&turns), "{turns}");
}

#[test]
fn requests_that_are_never_whole() {
    let mut codec = codec();
    let turns = until(|turn| {
        events(&mut codec, turn * 4, &[], true, 1000)?;
        codec.close_request(turn * 4);
        Ok(())
    });
    assert!((100..2000).contains(&turns), "{turns}");
}

#[test]
fn requests_behind_goaway() {
    let mut codec = codec();
    codec.goaway();
    assert!((100..2000).contains(&until(|turn| codec.open_request(turn * 4).map(drop))));
}

#[test]
fn frames_that_mean_nothing() {
    for (name, bytes) in [
        ("grease", frame(0x21, &[])),
        ("long grease", frame(0x21, &[0; 4096])),
        ("empty DATA", frame(kind::DATA, &[])),
        ("tiny DATA", frame(kind::DATA, b"x")),
    ] {
        let mut codec = codec();
        events(&mut codec, 0, &request(&[]), false, 1000).unwrap();
        let turns = until(|_| events(&mut codec, 0, &bytes, false, 10_000).map(drop));
        assert!(turns < 20_000, "{name}: {turns}");
    }
    for (name, bytes) in [
        ("grease", frame(0x21, &[])),
        ("GOAWAY", frame(kind::GOAWAY, &[0])),
        ("MAX_PUSH_ID", frame(kind::MAX_PUSH_ID, &[0])),
        ("PRIORITY_UPDATE", frame(kind::PRIORITY_UPDATE, &[0])),
    ] {
        let mut codec = codec();
        codec.receive_uni(2, &control(), false).unwrap();
        let turns = until(|_| codec.receive_uni(2, &bytes, false).map(drop));
        assert!(turns < 20_000, "{name}: {turns}");
    }
}

#[test]
fn streams_that_mean_nothing() {
    let mut codec = codec();
    assert!(until(|turn| codec.receive_uni(turn * 4 + 2, &integer(0x21), false).map(drop)) < 20_000);
}

#[test]
fn streams_without_a_type_are_few() {
    let mut codec = codec();
    let failure = (0..100).find_map(|turn| codec.receive_uni(turn * 4 + 2, &[0x40], false).err()).unwrap();
    assert_eq!(failure.code, Code::STREAM_CREATION_ERROR);
}

/// nginx's rule: an eighth of all bytes must be of use.
#[test]
fn a_table_that_is_filled_for_nothing() {
    let mut codec = codec();
    codec.receive_uni(2, &[integer(stream::ENCODER), vec![0x3f, 0xe1, 0x1f]].concat(), false).unwrap();
    let insert = [&[0x41, b'a', 0x7f, 0x81, 0x0a][..], &[b'x'; 1408]].concat();
    let turns = until(|_| codec.receive_uni(2, &insert, false).map(|_| codec.server_stream(ServerStream::Decoder).clear()));
    assert!((5000..10_000).contains(&turns) && codec.memory() < 32_768, "{turns}");
}

/// Acknowledgements that the client does not take.
#[test]
fn answers_on_our_streams_are_bounded() {
    let mut codec = codec();
    until(|turn| {
        events(&mut codec, turn * 4, &request(&[]), false, 1000)?;
        codec.close_request(turn * 4);
        assert!(codec.server_stream(ServerStream::Decoder).len() <= 70_000);
        Ok(())
    });
}

/// What browsers do all day is none.
#[test]
fn requests_that_are_answered_never_end_a_connection() {
    let mut codec = codec();
    let bytes = [request(&[("content-length", "1")]), frame(kind::DATA, b"x"), frame(kind::DATA, &[]), frame(0x21, b"y")].concat();
    for turn in 0..100_000 {
        events(&mut codec, turn * 4, &bytes, true, 1000).unwrap();
        codec.close_request(turn * 4);
    }
}
