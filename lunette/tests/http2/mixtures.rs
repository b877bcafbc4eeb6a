//! Peers that do anything in any order: requests, errors, resets, windows opened and closed, connections dropped, in pieces cut anywhere.
//! Whatever they do, the next client is answered.

use crate::rig::{Foreground, Prefix, h2::Client, until};
use crate::server_with;
use base::xorshift::Xorshift;
use std::time::Duration;
use wire::h2::frame::{FrameHead, flag, kind};

const ROUNDS: u64 = 120;
/// So many frames a peer sends at most.
const FRAMES: u64 = 40;
const PATHS: [&str; 10] = ["/", "/ready", "/large", "/file", "/reads", "/paced", "/waits", "/proxied", "/streamed", "/nothing"];
/// Peers that stay, so that what they left waiting meets what others do.
const STAY: usize = 8;

/// A failure names its round, which has a state of its own.
struct Dice(Xorshift);

impl Dice {
    fn below(&mut self, bound: u64) -> u64 {
        self.0.draw() % bound
    }

    fn of<T: Copy>(&mut self, all: &[T]) -> T {
        all[self.below(all.len() as u64) as usize]
    }
}

fn start() -> (Prefix, u16, Foreground) {
    let backend = crate::free_port();
    let (prefix, port, running) = server_with(
        &format!(
            "send_timeout 1s; client_body_timeout 1s; client_header_timeout 1s; keepalive_timeout 2s; client_max_body_size 0;
            server {{ listen 127.0.0.1:{backend}; http2 on; location / {{ content_by_lua_block {{
                ngx.req.read_body() ngx.print(string.rep('y', 200000)) }} }} }}"
        ),
        &format!(
            "location = / {{ content_by_lua_block {{ ngx.sleep(0.01) ngx.print('x') }} }}
            location = /large {{ content_by_lua_block {{ for i = 1, 20 do ngx.print(string.rep('x', 100000)) ngx.flush(true) end }} }}
            location = /file {{ default_type text/plain; }}
            location = /reads {{ content_by_lua_block {{ ngx.req.read_body() ngx.print(ngx.req.get_body_data()) }} }}
            location = /paced {{ limit_rate 20k; alias html/file; }}
            location = /waits {{ content_by_lua_block {{ ngx.print(string.rep('x', 100000)) ngx.flush(true) ngx.sleep(3) }} }}
            location = /proxied {{ proxy_pass http://127.0.0.1:{backend}; }}
            location = /streamed {{ proxy_http_version 2; proxy_request_buffering off; proxy_buffering off; proxy_pass http://127.0.0.1:{backend}; }}"
        ),
    );
    prefix.write("html/file", &"f".repeat(300_000));
    (prefix, port, running)
}

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8], out: &mut Vec<u8>) {
    FrameHead { len: payload.len(), kind, flags, stream }.write(out);
    out.extend_from_slice(payload);
}

/// Appends something; mostly what a client may do, sometimes what it must not.
fn act(dice: &mut Dice, client: &mut Client, next: &mut u32, out: &mut Vec<u8>) {
    let last = next.saturating_sub(2).max(1);
    let some = 2 * dice.below(u64::from(last / 2 + 1)) as u32 + 1;
    let end = if dice.below(3) > 0 { flag::END_STREAM } else { 0 };
    match dice.below(20) {
        0..8 => {
            let method = dice.of(&["GET", "GET", "POST", "HEAD"]);
            let mut fields = vec![(":method", method), (":scheme", "http"), (":path", dice.of(&PATHS)), (":authority", "a")];
            if dice.below(6) == 0 {
                fields.push(("content-length", dice.of(&["0", "10", "100000"])));
            }
            let block = client.block(&fields);
            frame(kind::HEADERS, flag::END_HEADERS | end, *next, &block, out);
            *next += 2;
        }
        8..11 => frame(kind::DATA, end, some, &vec![b'd'; dice.below(3000) as usize], out),
        11 | 12 => frame(kind::RST_STREAM, 0, some, &[0, 0, 0, 8], out),
        13..15 => {
            let stream = if dice.below(2) == 0 { 0 } else { some };
            frame(kind::WINDOW_UPDATE, 0, stream, &dice.of(&[1_u32, 100, 70_000]).to_be_bytes(), out);
        }
        15 | 16 => {
            let window = dice.of(&[0_u32, 1, 1000, 65_535, 1 << 20]);
            frame(kind::SETTINGS, 0, 0, &[&[0, 4], &window.to_be_bytes()[..]].concat(), out);
        }
        17 => frame(kind::PRIORITY_UPDATE, 0, 0, &[&some.to_be_bytes()[..], dice.of(&[b"u=0", b"u=7", b"i  "])].concat(), out),
        18 => frame(kind::PING, 0, 0, &[1; 8], out),
        _ => fail(dice, some, out),
    }
}

/// Appends what ends a stream or the connection with an error, or ends it in peace.
fn fail(dice: &mut Dice, some: u32, out: &mut Vec<u8>) {
    match dice.below(9) {
        0 => frame(kind::CONTINUATION, flag::END_HEADERS, some, b"", out),
        1 => frame(kind::WINDOW_UPDATE, 0, some, &[0; 4], out),
        2 => frame(kind::WINDOW_UPDATE, 0, some, &[0x7f, 0xff, 0xff, 0xff], out),
        3 => frame(kind::SETTINGS, 0, 0, &[0, 4, 0xff, 0xff, 0xff, 0xff], out),
        4 => frame(kind::HEADERS, flag::END_HEADERS | flag::END_STREAM, some, b"\x82", out),
        5 => frame(kind::HEADERS, 0, some + 1000, b"\x82\x86", out),
        6 => frame(kind::GOAWAY, 0, 0, &[0; 8], out),
        7 => frame(kind::PRIORITY, 0, some, &[&some.to_be_bytes()[..], b"\x10"].concat(), out),
        _ => out.extend_from_slice(b"no frame at all"),
    }
}

/// One peer; it is given back when it stays.
fn peer(port: u16, dice: &mut Dice) -> Option<Client> {
    let window = dice.of(&[0, 1, 65_535, 1 << 24]);
    let mut client = Client::with_window(port, window);
    client.wait_at_most(Duration::from_millis(1));
    client.takes = dice.below(2) == 0;
    client.silent = dice.below(2) == 0;
    let (mut next, mut bytes) = (1, Vec::new());
    for _ in 0..1 + dice.below(FRAMES) {
        act(dice, &mut client, &mut next, &mut bytes);
    }
    if dice.below(8) == 0 {
        // The last frame has no end.
        bytes.truncate(bytes.len() - bytes.len().min(1 + dice.below(8) as usize));
    }
    let mut rest = &bytes[..];
    while !rest.is_empty() && !client.closed {
        let most = dice.of(&[5, 100, 100_000]);
        let (part, behind) = rest.split_at(rest.len().min(1 + dice.below(most) as usize));
        client.send(part);
        if dice.below(3) == 0 {
            client.poll();
        }
        rest = behind;
    }
    (dice.below(2) == 0).then_some(client)
}

#[test]
fn whatever_peers_do_the_next_client_is_answered() {
    let (prefix, port, mut running) = start();
    let mut peers = Vec::new();
    for round in 0..ROUNDS {
        let mut dice = Dice(Xorshift::new((round + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15)));
        peers.extend(peer(port, &mut dice));
        if peers.len() > STAY {
            peers.remove(dice.below(STAY as u64) as usize);
        }
        assert_eq!(Client::connect(port).get("/ready").answer.text(), "ready", "{round}");
    }
    // Those that stay do not keep the server either.
    running.signal("-QUIT");
    until("the end", || running.child.try_wait().unwrap().is_some());
    let log = prefix.read("logs/error.log");
    for word in ["[alert]", "[crit]", "[emerg]", "panicked"] {
        assert!(!log.contains(word), "{log}");
    }
}
