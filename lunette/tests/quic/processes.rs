//! Datagrams find the process that has their connection.

use crate::rig::until;
use crate::{Server, begin, fetch, pid};
use quinn_proto::ConnectionError;
use std::collections::BTreeSet;

/// A location with an answer that takes a while and needs the client's datagrams all the time.
const LONG: &str = "location = /long { content_by_lua_block {\n\
    for i = 1, 60 do ngx.print(string.rep(string.char(65 + i % 26), 20000)); ngx.flush(true); ngx.sleep(0.02) end } }";

fn long() -> Vec<u8> {
    (1..=60_u8).flat_map(|i| vec![65 + i % 26; 20_000]).collect()
}

#[test]
fn a_client_that_moves_stays_with_its_worker() {
    let server = Server::start(3, "", "location = /where { return 200 $remote_port; }");
    let mut met = BTreeSet::new();
    for _ in 0..8 {
        let mut client = server.connect();
        let worker = pid(&mut client);
        for _ in 0..8 {
            client.move_away();
            assert_eq!(pid(&mut client), worker);
        }
        // Its requests are those of the new address, once it has proved to be there.
        let own = client.socket.local_addr().unwrap().port().to_string();
        client.until(|client| fetch(client, "/where").bytes == own.as_bytes());
        met.insert(worker);
    }
    assert!(met.len() > 1, "all went to one worker");
}

#[test]
fn answers_outlive_reloads() {
    let server = Server::start(2, "", LONG);
    let mut clients: Vec<_> = (0..6).map(|_| server.connect()).collect();
    let streams: Vec<_> = clients.iter_mut().map(|client| begin(client, "/long")).collect();
    for (client, id) in clients.iter_mut().zip(&streams) {
        client.until(|client| !client.received(*id).bytes.is_empty());
    }
    let old: BTreeSet<i32> = server.workers();
    for _ in 0..2 {
        let before = server.prefix.read("logs/error.log").matches("gracefully shutting down").count();
        server.signal("HUP", server.master());
        until("old workers that leave", || server.prefix.read("logs/error.log").matches("gracefully shutting down").count() >= before + 2);
        // Whoever comes now is with a new worker.
        let mut new = server.connect();
        assert!(!old.contains(&pid(&mut new)));
    }
    for (client, id) in clients.iter_mut().zip(&streams) {
        client.until(|client| client.received(*id).ended || client.lost.is_some());
        assert!(client.received(*id).bytes == long(), "{:?}", client.lost);
    }
}

#[test]
fn answers_outlive_a_new_binary() {
    let server = Server::daemon(2, LONG);
    let mut clients: Vec<_> = (0..4).map(|_| server.connect()).collect();
    let streams: Vec<_> = clients.iter_mut().map(|client| begin(client, "/long")).collect();
    let (old_master, old) = (server.master(), server.workers());
    server.signal("USR2", old_master);
    until("a new master", || server.prefix.read("logs/nginx.pid.oldbin").trim() == old_master.to_string() && server.master() != old_master);
    until("its workers", || server.workers().len() == 2);
    server.signal("QUIT", old_master);
    until("old workers that leave", || server.prefix.read("logs/error.log").matches("gracefully shutting down").count() >= 2);
    let mut new = server.connect();
    assert!(!old.contains(&pid(&mut new)));
    for (client, id) in clients.iter_mut().zip(&streams) {
        client.until(|client| client.received(*id).ended || client.lost.is_some());
        assert!(client.received(*id).bytes == long(), "{:?}", client.lost);
    }
}

#[test]
fn who_lost_its_worker_is_told() {
    let server = Server::start(2, "", "");
    let mut client = server.connect();
    let worker = pid(&mut client);
    server.signal("KILL", worker);
    until("a new worker", || {
        let now = server.workers();
        now.len() == 2 && !now.contains(&worker)
    });
    client.until(|client| {
        if client.lost.is_none() {
            let _ = begin(client, "/pid");
        }
        client.lost.is_some()
    });
    assert!(matches!(client.lost, Some(ConnectionError::Reset)), "{:?}", client.lost);
    assert!(pid(&mut server.connect()) > 0);
}

#[test]
fn large_answers_arrive_whole_with_and_without_offload() {
    for gso in ["on", "off"] {
        let server = Server::start(1, &format!("quic_gso {gso};"), "location = /large { alias html/large; }");
        let large: Vec<u8> = (0..3_000_000_u32).map(|number| (number % 251) as u8).collect();
        std::fs::write(server.prefix.path.join("html/large"), &large).unwrap();
        let mut client = server.connect();
        let got = fetch(&mut client, "/large");
        assert!(got.ended && got.bytes == large, "{} {:?}", got.bytes.len(), client.lost);
    }
}

impl Server {
    /// The processes of the workers that are there now.
    fn workers(&self) -> BTreeSet<i32> {
        let master = self.master();
        let children = std::fs::read_to_string(format!("/proc/{master}/task/{master}/children")).unwrap_or_default();
        children.split_whitespace().filter_map(|pid| pid.parse().ok()).collect()
    }
}
