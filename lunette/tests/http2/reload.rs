//! Reloads: no request is lost, and idle clients are told.

use crate::rig::{h2::Client, parked, until};
use crate::server;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::{scope, sleep};
use std::time::Duration;

const TOGETHER: usize = 8;

/// Sends requests, several at once, until `enough`; a request that the server has said it did not look at is sent again.
fn load(port: u16, enough: &AtomicBool, served: &AtomicUsize) {
    let mut client = Client::connect(port);
    while !enough.load(Ordering::Relaxed) {
        if client.closed || client.goaway.is_some() {
            client = Client::connect(port);
        }
        let streams: Vec<_> = (0..TOGETHER).map(|_| client.request("GET", "/work", &[], None)).collect();
        for stream in streams {
            client.until("an answer", |client| client.replies[&stream].ended || client.goaway.is_some_and(|(last, _)| last < stream));
            let reply = client.replies.remove(&stream).unwrap();
            if reply.ended {
                assert_eq!((reply.answer.status, reply.answer.text().as_str()), (200, "done"));
                served.fetch_add(1, Ordering::Relaxed);
            } else {
                assert!(client.goaway.is_some_and(|(last, _)| last < stream), "lost {stream}: {reply:?} {:?}", client.goaway);
            }
        }
    }
}

#[test]
fn no_request_is_lost_by_reloads() {
    reload_under_load(50);
}

/// `cargo test -p lunette --test http2 -- --ignored --nocapture reloads`
#[test]
#[ignore = "the longer form of the test above"]
fn no_request_is_lost_by_many_reloads() {
    println!("{} requests beside 200 reloads", reload_under_load(200));
}

/// How many requests were served beside so many reloads; none is lost.
fn reload_under_load(reloads: usize) -> usize {
    let (prefix, port, running) = server("location = /work { content_by_lua_block { ngx.sleep(0.003) ngx.print('done') } }");
    let (enough, served) = (AtomicBool::new(false), AtomicUsize::new(0));
    scope(|threads| {
        for _ in 0..2 {
            threads.spawn(|| load(port, &enough, &served));
        }
        for _ in 0..reloads {
            let before = served.load(Ordering::Relaxed);
            running.signal("-HUP");
            until("requests beside the reload", || served.load(Ordering::Relaxed) >= before + TOGETHER);
            sleep(Duration::from_millis(20));
        }
        enough.store(true, Ordering::Relaxed);
    });
    let log = prefix.read("logs/error.log");
    assert!(!log.contains("[alert]") && !log.contains("panicked"), "{log}");
    served.into_inner()
}

#[test]
fn idle_clients_are_told_that_the_server_leaves() {
    let (_prefix, port, running) = server("");
    let mut idle = Client::connect(port);
    assert_eq!(idle.get("/ready").answer.text(), "ready");
    until("the connection to be parked", || parked(running.child.id()) == 1);
    let mut active = Client::connect(port);
    assert_eq!(active.get("/ready").answer.text(), "ready");
    running.signal("-HUP");
    for client in [&mut idle, &mut active] {
        client.until("GOAWAY", |client| client.goaway.is_some());
        assert_eq!(client.goaway.map(|(_, code)| code), Some(0));
    }
    assert_eq!(Client::connect(port).get("/ready").answer.text(), "ready");
}

#[test]
fn a_parked_connection_goes_on_where_it_was() {
    let (_prefix, port, running) = server("location = /ctx { content_by_lua_block { ngx.print(ngx.var.connection_requests) } }");
    let mut client = Client::connect(port);
    for round in 1..4 {
        // The table of header fields is the connection's, so a lost one would show as wrong fields.
        let stream = client.request("GET", "/ctx", &[("x-long-lived", "the same value each time")], None);
        assert_eq!(client.reply(stream).answer.text(), round.to_string());
        until("the connection to be parked", || parked(running.child.id()) == 1);
    }
}
