//! Many sessions of `stream` while their server is killed and comes back, and what a long time of them leaves behind: nothing.

use crate::rig::{Foreground, PATIENCE, Prefix, connect, free_port, memory, until};
use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

const CLIENTS: usize = 64;

fn start(prefix: &Prefix, port: u16, blocks: &str) -> Foreground {
    let text = format!(
        "daemon off; worker_processes 1; error_log logs/error.log error; events {{ worker_connections 1024; }} stream {{ {blocks} }}\n"
    );
    prefix.write("conf/nginx.conf", &text);
    Foreground::start(prefix, port, "").unwrap()
}

/// A server that says what it hears until it is told to stop; then all of its connections are cut.
struct Echo {
    port: u16,
    stop: Arc<AtomicBool>,
    accepting: thread::JoinHandle<()>,
}

impl Echo {
    fn start(port: u16) -> Echo {
        let mut listener = None;
        until("the port", || {
            listener = TcpListener::bind(("127.0.0.1", port)).ok();
            listener.is_some()
        });
        let (listener, stop) = (listener.unwrap(), Arc::new(AtomicBool::new(false)));
        let stopped = stop.clone();
        let accepting = thread::spawn(move || {
            let mut open = Vec::new();
            for stream in listener.incoming() {
                if stopped.load(Ordering::SeqCst) {
                    break;
                }
                let Ok(mut stream) = stream else { continue };
                open.push(stream.try_clone().unwrap());
                thread::spawn(move || {
                    let mut buffer = [0; 65536];
                    while let Ok(count @ 1..) = stream.read(&mut buffer) {
                        if stream.write_all(&buffer[..count]).is_err() {
                            break;
                        }
                    }
                });
            }
            open.iter().for_each(|stream| drop(stream.shutdown(Shutdown::Both)));
        });
        Echo { port, stop, accepting }
    }

    fn kill(self) {
        self.stop.store(true, Ordering::SeqCst);
        drop(TcpStream::connect(("127.0.0.1", self.port)));
        self.accepting.join().unwrap();
    }
}

/// How many descriptors the worker has.
fn descriptors(server: &Foreground) -> usize {
    let master = server.child.id();
    let children = std::fs::read_to_string(format!("/proc/{master}/task/{master}/children")).unwrap();
    let worker = children.split_whitespace().next().unwrap();
    std::fs::read_dir(format!("/proc/{worker}/fd")).unwrap().count()
}

/// The same of one that has served a session and rests.
fn descriptors_at_rest(server: &Foreground, front: u16) -> usize {
    let mut stream = connect(front);
    stream.write_all(b"x").unwrap();
    stream.read_exact(&mut [0]).unwrap();
    let with_one = descriptors(server);
    drop(stream);
    until("a session's end", || descriptors(server) < with_one);
    with_one - 2
}

#[test]
fn sessions_go_on_elsewhere_while_a_server_is_killed_and_comes_back() {
    let prefix = Prefix::new();
    let (front, one, two) = (free_port(), free_port(), free_port());
    let (first, second) = (Echo::start(one), Echo::start(two));
    let server = start(
        &prefix,
        front,
        &format!(
            "upstream group {{ zone group 64k; server 127.0.0.1:{one} fail_timeout=1s; server 127.0.0.1:{two} fail_timeout=1s; }}\n\
             server {{ listen 127.0.0.1:{front}; proxy_pass group; }}"
        ),
    );
    let before = descriptors_at_rest(&server, front);
    let (stop, whole, cut) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let clients: Vec<_> = (0..CLIENTS)
        .map(|number| {
            let (stop, whole, cut) = (stop.clone(), whole.clone(), cut.clone());
            thread::spawn(move || {
                let word = [u8::try_from(number).unwrap(); 20_000];
                while !stop.load(Ordering::SeqCst) {
                    let mut stream = connect(front);
                    let mut answer = vec![0; word.len()];
                    // Who is connected when his server dies is cut, as he must be; nobody hears anybody else's words.
                    match stream.write_all(&word).and_then(|()| stream.read_exact(&mut answer)) {
                        Ok(()) => {
                            assert!(answer == word, "another session's bytes");
                            whole.fetch_add(1, Ordering::SeqCst);
                        }
                        Err(_) => drop(cut.fetch_add(1, Ordering::SeqCst)),
                    }
                }
            })
        })
        .collect();
    let progress = |by: usize| {
        let goal = whole.load(Ordering::SeqCst) + by;
        until("sessions", || whole.load(Ordering::SeqCst) >= goal);
    };
    progress(500);
    let mut first = Some(first);
    for _ in 0..3 {
        first.take().unwrap().kill();
        // The other one serves.
        progress(500);
        first = Some(Echo::start(one));
        progress(500);
    }
    stop.store(true, Ordering::SeqCst);
    clients.into_iter().for_each(|client| client.join().unwrap());
    assert!(cut.load(Ordering::SeqCst) <= 3 * CLIENTS, "{} sessions were cut", cut.load(Ordering::SeqCst));
    until("descriptors to be closed", || descriptors(&server) <= before);
    let log = prefix.read("logs/error.log");
    assert!(!log.contains("panicked") && !log.contains("[alert]"), "{log}");
    first.unwrap().kill();
    second.kill();
}

#[test]
fn sessions_leave_neither_descriptors_nor_memory_behind() {
    let prefix = Prefix::new();
    let (front, echo, dead) = (free_port(), free_port(), free_port());
    let behind = Echo::start(echo);
    let answers = UdpSocket::bind("127.0.0.1:0").unwrap();
    let udp = answers.local_addr().unwrap().port();
    thread::spawn(move || {
        let mut packet = [0; 2048];
        while let Ok((count, from)) = answers.recv_from(&mut packet) {
            drop(answers.send_to(&packet[..count], from));
        }
    });
    let server = start(
        &prefix,
        front,
        &format!(
            "server {{ listen 127.0.0.1:{front}; proxy_pass 127.0.0.1:{echo}; }}\n\
             server {{ listen 127.0.0.1:{dead}; proxy_pass 127.0.0.1:9; }}\n\
             server {{ listen 127.0.0.1:{front} udp; proxy_responses 1; proxy_requests 1; proxy_pass 127.0.0.1:{udp}; }}"
        ),
    );
    let before = descriptors_at_rest(&server, front);
    let round = || {
        for i in 0..100 {
            let mut stream = connect(front);
            let mut answer = [0; 5];
            stream.write_all(b"hello").unwrap();
            stream.read_exact(&mut answer).unwrap();
            match i % 3 {
                0 => {}
                1 => stream.shutdown(Shutdown::Write).unwrap(),
                // More than both buffers and the kernel's take, which nobody reads.
                _ => {
                    stream.set_write_timeout(Some(Duration::from_millis(1))).unwrap();
                    drop(stream.write_all(&[0; 1 << 16]));
                }
            }
            let mut refused = connect(dead);
            drop(refused.read(&mut [0; 1]));
            let client = UdpSocket::bind("127.0.0.1:0").unwrap();
            client.set_read_timeout(Some(PATIENCE)).unwrap();
            client.send_to(b"hello", ("127.0.0.1", front)).unwrap();
            assert_eq!(client.recv(&mut [0; 10]).unwrap(), 5);
        }
        until("descriptors to be closed", || descriptors(&server) <= before);
    };
    for _ in 0..3 {
        round();
    }
    let early = memory(&server);
    for _ in 0..12 {
        round();
    }
    let grown = memory(&server).saturating_sub(early);
    assert!(grown < 2 << 20, "{grown} bytes for 3,600 sessions");
    behind.kill();
}

#[test]
fn a_side_that_takes_nothing_holds_no_more_than_the_buffers() {
    let prefix = Prefix::new();
    let (front, silent) = (free_port(), TcpListener::bind("127.0.0.1:0").unwrap());
    let behind = silent.local_addr().unwrap().port();
    let server = start(
        &prefix,
        front,
        &format!("proxy_socket_sndbuf 32k; server {{ listen 127.0.0.1:{front} rcvbuf=32k; proxy_pass 127.0.0.1:{behind}; }}"),
    );
    let mut clients = Vec::new();
    let mut stall = |count: usize| {
        for _ in 0..count {
            let mut stream = connect(front);
            stream.set_write_timeout(Some(Duration::from_millis(50))).unwrap();
            // Until nothing goes any more.
            while stream.write(&[1; 65536]).is_ok() {}
            clients.push(stream);
        }
        memory(&server)
    };
    // The first ones have the program's own pages read in.
    let early = stall(20);
    let grown = stall(100).saturating_sub(early);
    // Two buffers of 16 KiB each, and what a session is besides.
    assert!(grown < 100 * (48 << 10), "{grown} bytes for 100 sessions");
}
