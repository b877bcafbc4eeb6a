//! How connections are spread over workers: by counts, not by times.

use crate::rig::{Foreground, Prefix, connect, free_port, until};
use std::collections::{BTreeMap, BTreeSet};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::Command;

const WORKERS: usize = 4;

fn server(limit: usize) -> (Prefix, u16, Foreground) {
    let prefix = Prefix::new();
    let port = free_port();
    prefix.write(
        "conf/nginx.conf",
        &format!(
            "daemon off; worker_processes {WORKERS}; error_log logs/error.log notice;\nevents {{ worker_connections {limit}; }}\n\
             http {{ server {{ listen 127.0.0.1:{port}; location / {{ return 200 \"$pid\\n\"; }} }} }}\n"
        ),
    );
    let running = Foreground::start(&prefix, port, "").unwrap();
    let mut seen = BTreeSet::new();
    until("an answer of each worker", || {
        let mut stream = connect(port);
        ask(&mut stream, "close");
        seen.extend(answer(&mut stream));
        seen.len() == WORKERS
    });
    (prefix, port, running)
}

/// Process numbers of the workers.
fn workers(server: &Foreground) -> Vec<String> {
    let master = server.child.id();
    let children = std::fs::read_to_string(format!("/proc/{master}/task/{master}/children")).unwrap_or_default();
    children.split_whitespace().map(str::to_owned).collect()
}

fn ask(stream: &mut TcpStream, connection: &str) {
    stream.write_all(format!("GET / HTTP/1.1\r\nHost: x\r\nConnection: {connection}\r\n\r\n").as_bytes()).unwrap();
}

/// The worker that answers; `None` if the connection is closed.
fn answer(stream: &mut TcpStream) -> Option<String> {
    let (mut text, mut byte) = (Vec::new(), [0]);
    while !text.windows(4).any(|w| w == b"\r\n\r\n") || !text.ends_with(b"\n") || text.ends_with(b"\r\n") {
        if !matches!(stream.read(&mut byte), Ok(1)) {
            return None;
        }
        text.extend(byte);
    }
    let text = String::from_utf8(text).unwrap();
    Some(text.lines().last().unwrap_or_default().to_owned())
}

fn signal(name: &str, workers: &[String]) {
    assert!(Command::new("kill").arg(name).args(workers).status().unwrap().success());
}

/// Stops these, and waits until they have: one that is about to may still be woken for a connection.
fn stop(workers: &[String]) {
    signal("-STOP", workers);
    for pid in workers {
        let status = || std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
        until("a stop", || status().contains("State:\tT"));
    }
}

type Counts = BTreeMap<String, usize>;

/// So often more connections are made as long as those before are not spread evenly. What workers have taken is levelled out over time; who gets
/// most of one burst is up to the kernel, which may leave the others without a processor for all of it.
const ROUNDS: usize = 8;

/// `more` makes connections and counts them.
fn assert_becomes_even(what: &str, mut more: impl FnMut(&mut Counts)) {
    let mut counts = Counts::new();
    for _ in 0..ROUNDS {
        more(&mut counts);
        let (least, most) = (counts.values().min().unwrap(), counts.values().max().unwrap());
        if counts.len() == WORKERS && 2 * most <= 3 * least {
            return;
        }
    }
    panic!("{what}: {counts:?}");
}

#[test]
fn one_after_the_other_kept_or_closed() {
    let (_prefix, port, _running) = server(1000);
    for (connection, keep) in [("keep-alive", true), ("close", false)] {
        assert_becomes_even(connection, |counts| {
            let mut kept = Vec::new();
            for _ in 0..if keep { 400 } else { 800 } {
                let mut stream = connect(port);
                ask(&mut stream, connection);
                *counts.entry(answer(&mut stream).unwrap()).or_default() += 1;
                if keep {
                    kept.push(stream);
                }
            }
            for stream in &mut kept {
                ask(stream, connection);
                assert!(answer(stream).is_some(), "a connection was closed for others");
            }
        });
    }
}

#[test]
fn bursts() {
    let (_prefix, port, _running) = server(8000);
    for connection in ["keep-alive", "close"] {
        assert_becomes_even(connection, |counts| {
            for _ in 0..16 {
                let mut burst: Vec<_> = (0..100).map(|_| connect(port)).collect();
                burst.iter_mut().for_each(|stream| ask(stream, connection));
                for stream in &mut burst {
                    *counts.entry(answer(stream).unwrap()).or_default() += 1;
                }
            }
        });
    }
}

/// Nobody is closed while one of the workers has room.
#[test]
fn a_full_worker_leaves_connections_to_those_with_room() {
    let (_prefix, port, running) = server(50);
    // Three workers stop; the fourth gets nearly as many connections as it has slots.
    let all = workers(&running);
    stop(&all[1..]);
    let mut kept: Vec<_> = (0..45).map(|_| connect(port)).collect();
    for stream in &mut kept {
        ask(stream, "keep-alive");
        assert_eq!(answer(stream).as_deref(), Some(all[0].as_str()));
    }
    signal("-CONT", &all[1..]);
    for _ in 45..150 {
        let mut stream = connect(port);
        ask(&mut stream, "keep-alive");
        assert!(answer(&mut stream).is_some());
        kept.push(stream);
    }
    for (i, stream) in kept.iter_mut().enumerate() {
        ask(stream, "keep-alive");
        assert!(answer(stream).is_some(), "connection {i} was closed");
    }
}

/// The others never come: who is full serves all the same, and closes what is idle.
#[test]
fn who_is_left_alone_serves() {
    let (_prefix, port, running) = server(20);
    let all = workers(&running);
    stop(&all[1..]);
    let kept: Vec<_> = (0..60)
        .map(|_| {
            let mut stream = connect(port);
            ask(&mut stream, "keep-alive");
            assert_eq!(answer(&mut stream).as_deref(), Some(all[0].as_str()));
            stream
        })
        .collect();
    signal("-CONT", &all[1..]);
    drop(kept);
}

/// What a worker was woken for is not lost with it, and who replaces it gets its part.
#[test]
fn a_worker_that_dies_takes_no_connection_with_it() {
    let (_prefix, port, running) = server(1000);
    let before = workers(&running);
    stop(&before[..1]);
    // Some of these may wait for the one that does nothing.
    let mut waiting: Vec<_> = (0..100).map(|_| connect(port)).collect();
    signal("-KILL", &before[..1]);
    for stream in &mut waiting {
        ask(stream, "close");
        assert!(answer(stream).is_some());
    }
    until("another worker", || {
        let now = workers(&running);
        now.len() == WORKERS && !now.contains(&before[0])
    });
    until("its first connection", || {
        let mut stream = connect(port);
        ask(&mut stream, "close");
        answer(&mut stream).is_some_and(|pid| !before.contains(&pid))
    });
    assert_becomes_even("after a death", |counts| {
        for _ in 0..800 {
            let mut stream = connect(port);
            ask(&mut stream, "close");
            *counts.entry(answer(&mut stream).unwrap()).or_default() += 1;
        }
    });
}
