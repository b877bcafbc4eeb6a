//! Frames in masses: what is kept of them is limited, and others are served meanwhile.

use crate::rig::frames::Cannon;
use crate::rig::quic::{Client, Wishes};
use crate::{Server, fetch, pid};
use wire::quic::varint;

/// Packets of each flood, with as many frames as fit.
const PACKETS: u64 = 1500;
const ROOM: usize = 1100;

const MIB: u64 = 1 << 20;

/// Memory that a process has for itself: without the pages of files, among which counters of coverage are.
fn resident(pid: i32) -> u64 {
    let text = std::fs::read_to_string(format!("/proc/{pid}/statm")).unwrap();
    let pages: Vec<u64> = text.split(' ').skip(1).take(2).map(|word| word.parse().unwrap()).collect();
    (pages[0] - pages[1]) * 4096
}

fn numbers(kind: u8, all: &[u64]) -> Vec<u8> {
    let mut out = vec![kind];
    all.iter().for_each(|number| varint::put(&mut out, *number));
    out
}

/// A frame with a byte of a stream's or the handshake's data.
fn byte(head: Vec<u8>) -> Vec<u8> {
    [&head[..], &[1, b'x']].concat()
}

fn new_id(number: u64, retired: u64) -> Vec<u8> {
    let id = [&number.to_be_bytes()[..], &[7; 12]].concat();
    [&numbers(0x18, &[number, retired])[..], &[20], &id, &[9; 16]].concat()
}

/// Frames by their number, and how much memory may be held of them.
type Flood = (&'static str, u64, fn(u64) -> Vec<u8>);

// tidy: table
fn all() -> Vec<Flood> {
    vec![
        ("PING", MIB, |_| vec![1]),
        ("PADDING", MIB, |_| vec![0]),
        ("ACK", MIB, |_| numbers(0x02, &[0, 0, 0, 0])),
        ("PATH_CHALLENGE", MIB, |number| [&[0x1a][..], &number.to_be_bytes()].concat()),
        ("PATH_RESPONSE", MIB, |number| [&[0x1b][..], &number.to_be_bytes()].concat()),
        ("NEW_CONNECTION_ID", MIB, |number| new_id(number + 1, 0)),
        ("NEW_CONNECTION_ID, the others retired", MIB, |number| new_id(number + 1, number + 1)),
        ("RETIRE_CONNECTION_ID", MIB, |number| numbers(0x19, &[number])),
        ("the same RETIRE_CONNECTION_ID", MIB, |_| numbers(0x19, &[1])),
        ("MAX_DATA", MIB, |number| numbers(0x10, &[number])),
        ("MAX_STREAM_DATA", MIB, |number| numbers(0x11, &[4 * (number % 128), number])),
        ("MAX_STREAMS", MIB, |number| numbers(0x12, &[number])),
        ("DATA_BLOCKED", MIB, |number| numbers(0x14, &[number])),
        ("STREAM_DATA_BLOCKED", MIB, |number| numbers(0x15, &[4 * (number % 128), number])),
        ("STREAMS_BLOCKED", MIB, |number| numbers(0x16, &[number])),
        ("STOP_SENDING", MIB, |number| numbers(0x05, &[4 * number, 7])),
        ("RESET_STREAM", MIB, |number| numbers(0x04, &[4 * number, 7, 0])),
        ("CRYPTO with gaps", MIB, |number| byte(numbers(0x06, &[1 + 2 * (number % 8000)]))),
        ("a stream with gaps", MIB, |number| byte(numbers(0x0e, &[4, 1 + 2 * (number % 30_000)]))),
        ("a stream's byte again", MIB, |_| byte(numbers(0x0e, &[4, 9]))),
        ("streams of a byte", 2 * MIB, |number| byte(numbers(0x0e, &[4 * (number % 128), 0]))),
        ("NEW_TOKEN", MIB, |_| vec![7, 1, 1]),
        ("frames that are none", MIB, |_| vec![0x3f]),
    ]
}

/// How much more memory the worker holds for a connection that got these frames and is still there.
fn held(port: u16, frame: fn(u64) -> Vec<u8>, friend: &mut Client, kept: &mut Vec<Cannon>) -> u64 {
    let wishes = Wishes::new(b"hq-interop");
    let mut cannon = Cannon::new(port, &wishes, |client| drop(fetch(client, "/pid")));
    let worker = pid(friend);
    let before = resident(worker);
    let mut number = 0;
    for packet in 0..PACKETS {
        let mut frames = Vec::new();
        while frames.len() < ROOM {
            frames.extend_from_slice(&frame(number));
            number += 1;
        }
        cannon.fire(&frames);
        // As fast as the worker takes them.
        if packet % 50 == 49 {
            assert_eq!(pid(friend), worker);
        }
    }
    kept.push(cannon);
    resident(worker).saturating_sub(before)
}

#[test]
fn frames_in_masses_hold_little_memory() {
    // Whoever looks how the worker does asks often.
    let server = Server::start(1, "keepalive_requests 1000000;", "");
    let mut friend = server.connect();
    for (what, allowed, frame) in [("warming up", u64::MAX, (|_| vec![1]) as fn(u64) -> Vec<u8>)].into_iter().chain(all()) {
        // What the allocator keeps for a while serves the next connection; what a connection holds, each one holds.
        let mut kept = Vec::new();
        let least = (0..4).map(|_| held(server.port, frame, &mut friend, &mut kept)).find(|held| *held <= allowed);
        assert!(least.is_some(), "{what}: more than {allowed} bytes");
    }
    let log = server.prefix.read("logs/error.log");
    assert!(!log.contains("[alert]") && !log.contains("panicked"), "{log}");
}

#[test]
fn packets_with_gaps_hold_little_memory() {
    // Whoever looks how the worker does asks often.
    let server = Server::start(1, "keepalive_requests 1000000;", "");
    let mut friend = server.connect();
    let worker = pid(&mut friend);
    let mut cannon = Cannon::new(server.port, &Wishes::new(b"hq-interop"), |client| drop(fetch(client, "/pid")));
    let mut before = 0;
    for packet in 0..20_000 {
        cannon.skip(1);
        cannon.fire(&[1]);
        if packet % 100 == 99 {
            assert_eq!(pid(&mut friend), worker);
        }
        if packet == 1000 {
            before = resident(worker);
        }
    }
    let held = resident(worker).saturating_sub(before);
    assert!(held < MIB, "{held} bytes");
}
