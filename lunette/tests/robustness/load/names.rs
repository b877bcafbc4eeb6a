//! A name whose addresses change, and a name server that falls silent.

use super::{CLIENTS, STORY, Speech, check, crowd, more, stories};
use crate::raw::{ANSWER, Seen, note, read};
use crate::rig::dns::NameServer;
use crate::rig::{Foreground, PATIENCE, Prefix, free_port, get, until};
use std::collections::HashMap;
use std::io::Write;
use std::net::{Ipv4Addr, TcpListener};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;

/// Servers at 127.0.0.2 to 127.0.0.4, which can close for good.
#[derive(Clone, Default)]
struct Servers {
    seen: Seen,
    /// Requests of each.
    counts: Arc<[AtomicUsize; 5]>,
    closed: Arc<[AtomicBool; 5]>,
    /// Requests that came to a server that had closed.
    late: Arc<Mutex<Vec<String>>>,
}

impl Servers {
    fn start(port: u16) -> Servers {
        let servers = Servers::default();
        for number in 2..5_u8 {
            let listener = TcpListener::bind((Ipv4Addr::new(127, 0, 0, number), port)).unwrap();
            let servers = servers.clone();
            thread::spawn(move || {
                while let Ok((stream, _)) = listener.accept() {
                    stream.set_read_timeout(Some(PATIENCE)).unwrap();
                    let servers = servers.clone();
                    thread::spawn(move || servers.serve(stream, usize::from(number)));
                }
            });
        }
        servers
    }

    fn serve(&self, mut stream: std::net::TcpStream, number: usize) {
        while let Some(path) = read(&mut stream) {
            if self.closed[number].load(Ordering::SeqCst) {
                return self.late.lock().unwrap().push(path);
            }
            self.counts[number].fetch_add(1, Ordering::SeqCst);
            note(&self.seen, path);
            // A client that has gone ends the connection at the next reading.
            drop(stream.write_all(ANSWER));
        }
    }

    fn count(&self, number: usize) -> usize {
        self.counts[number].load(Ordering::SeqCst)
    }

    /// Waits until this one is asked.
    fn until_used(&self, number: usize) {
        let before = self.count(number);
        until("requests to a new address", || self.count(number) > before + 5);
    }

    /// Waits until this one is asked no more while others are, and closes it.
    fn close_when_left(&self, number: usize, answers: &AtomicUsize) {
        until("an address to be left", || {
            let before = self.count(number);
            more(answers, 4 * CLIENTS);
            self.count(number) == before
        });
        self.closed[number].store(true, Ordering::SeqCst);
    }
}

fn start(names: &NameServer) -> (Prefix, u16, Servers, Foreground) {
    let prefix = Prefix::new();
    let (front, back, dns) = (free_port(), free_port(), names.port);
    let servers = Servers::start(back);
    prefix.write(
        "conf/nginx.conf",
        &format!(
            "daemon off; worker_processes 2; error_log logs/error.log info; events {{ worker_connections 512; }}\n\
             http {{ {STORY} keepalive_requests 100000; resolver 127.0.0.1:{dns} valid=1s ipv6=off; resolver_timeout 1s;\n\
             upstream group {{ zone group 64k; server back.test:{back} resolve; keepalive 4; }}\n\
             server {{ listen 127.0.0.1:{front}; location / {{ proxy_pass http://group; }}\n\
             location /named {{ access_log off; set $name other.test; proxy_pass http://$name:{back}; }} }} }}\n"
        ),
    );
    let running = Foreground::start(&prefix, front, "").unwrap();
    (prefix, front, servers, running)
}

fn wait_for_addresses(prefix: &Prefix, port: u16) {
    until("addresses", || get(port, "/GET").is_ok_and(|answer| answer.status == 200));
    std::fs::write(prefix.path.join("logs/story.log"), "").unwrap();
}

#[test]
fn addresses_come_and_go() {
    let names = NameServer::start();
    names.say(&[2]);
    let (prefix, port, servers, _running) = start(&names);
    wait_for_addresses(&prefix, port);
    let all = crowd(Speech::Connections, port, 20_000, |answers| {
        more(answers, 200);
        names.say(&[2, 3]);
        servers.until_used(3);
        names.say(&[3, 4]);
        servers.until_used(4);
        servers.close_when_left(2, answers);
        more(answers, 200);
        names.say(&[4]);
        servers.close_when_left(3, answers);
        // Nobody answers any more: what is known stays.
        names.be_silent(true);
        until("the log", || prefix.read("logs/error.log").contains("back.test could not be resolved (110: Operation timed out)"));
        more(answers, 200);
    });
    let seen = servers.seen.lock().unwrap().clone();
    check(&prefix, &all, |uri| seen.get(uri).copied().unwrap_or_default());
    assert!(all.iter().all(|got| got.status == 200));
    assert!(servers.late.lock().unwrap().is_empty(), "{:?}", servers.late.lock().unwrap());
    let mut per_address = HashMap::<String, usize>::new();
    for story in stories(&prefix, &all).into_values() {
        assert_eq!(story.tries.len(), 1);
        story.tries.into_iter().for_each(|(address, ..)| *per_address.entry(address).or_default() += 1);
    }
    assert_eq!(per_address.len(), 3, "{per_address:?}");
    assert!(!prefix.read("logs/error.log").contains("while reading response header"), "{}", prefix.read("logs/error.log"));
}

#[test]
fn a_silent_name_server_is_a_502_and_no_more() {
    let names = NameServer::start();
    names.say(&[2]);
    let (prefix, port, _servers, _running) = start(&names);
    wait_for_addresses(&prefix, port);
    assert_eq!(get(port, "/named").unwrap().status, 200);
    names.be_silent(true);
    // What was known has its time.
    until("the end of what is known", || get(port, "/named").unwrap().status == 502);
    let asking: Vec<_> = (0..CLIENTS).map(|_| thread::spawn(move || get(port, "/named").unwrap().status)).collect();
    assert_eq!(get(port, "/GET").unwrap().status, 200);
    assert!(asking.into_iter().all(|client| client.join().unwrap() == 502));
    let log = prefix.read("logs/error.log");
    assert_eq!(log.matches("other.test could not be resolved (110: Operation timed out), client: ").count(), CLIENTS + 1, "{log}");
    names.be_silent(false);
    until("the name", || get(port, "/named").unwrap().status == 200);
}
