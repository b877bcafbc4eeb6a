//! Reloads: no request is lost, and idle clients are told.

use crate::rig::h3::Client;
use crate::rig::until;
use crate::{server, server_in};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::scope;

const TOGETHER: usize = 8;

/// Sends requests, several at once, until `enough`; a request that the server has said it did not look at is sent again.
fn load(port: u16, enough: &AtomicBool, served: &AtomicUsize) {
    let mut client = Client::connect(port);
    while !enough.load(Ordering::Relaxed) {
        if client.quic.lost.is_some() || client.goaway().is_some() {
            client = Client::connect(port);
        }
        let streams: Vec<_> = (0..TOGETHER).map(|_| client.open("GET", "/work", &[], true)).collect();
        for stream in streams {
            let reply = client.reply(stream);
            if reply.ended {
                assert_eq!((reply.status, reply.text().as_str()), (200, "done"));
                served.fetch_add(1, Ordering::Relaxed);
            } else {
                let refused = client.goaway().is_some_and(|first| first <= u64::from(stream));
                assert!(refused, "lost {stream}: {reply:?} {:?} {:?}", client.goaway(), client.quic.lost);
            }
        }
    }
}

#[test]
fn no_request_is_lost_by_reloads() {
    let (prefix, port, running) = server("location = /work { content_by_lua_block { ngx.sleep(0.003) ngx.print('done') } }");
    let (enough, served) = (AtomicBool::new(false), AtomicUsize::new(0));
    scope(|threads| {
        for _ in 0..2 {
            threads.spawn(|| load(port, &enough, &served));
        }
        for number in 0..12 {
            let before = served.load(Ordering::Relaxed);
            running.signal("-HUP");
            until("requests beside the reload", || served.load(Ordering::Relaxed) >= before + TOGETHER);
            until("the old worker to leave", || prefix.read("logs/error.log").matches("gracefully shutting down").count() > number);
        }
        enough.store(true, Ordering::Relaxed);
    });
    let log = prefix.read("logs/error.log");
    assert!(!log.contains("[alert]") && !log.contains("panicked"), "{log}");
}

#[test]
fn idle_clients_are_told_that_the_server_leaves() {
    let (prefix, port, running) = server(
        "location = /long { content_by_lua_block {
             repeat ngx.sleep(0.05) until io.open(ngx.config.prefix() .. 'go')
             ngx.print('done')
         } }",
    );
    let mut idle = Client::connect(port);
    assert_eq!(idle.get("/ready").text(), "ready");
    let mut busy = Client::connect(port);
    let stream = busy.open("GET", "/long", &[], true);
    busy.get("/ready");
    running.signal("-HUP");
    idle.until(|client| client.goaway().is_some() || client.quic.lost.is_some());
    idle.until(|client| client.quic.lost.is_some());
    assert_eq!(idle.quic.code(), Some(0x100));
    prefix.write("go", "");
    let reply = busy.reply(stream);
    assert_eq!((reply.text().as_str(), busy.goaway()), ("done", Some(8)));
}

#[test]
fn a_worker_that_must_leave_closes_what_goes_on() {
    let (_prefix, port, running) =
        server_in("worker_shutdown_timeout 300ms;", "", "location = /long { content_by_lua_block { ngx.sleep(600) } }");
    let mut client = Client::connect(port);
    let stream = client.open("GET", "/long", &[], true);
    client.get("/ready");
    running.signal("-QUIT");
    client.until(|client| client.quic.lost.is_some());
    assert_eq!((client.goaway(), client.quic.code(), client.peek(stream).status), (Some(8), Some(0x100), 0));
}
