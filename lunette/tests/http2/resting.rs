//! Connections that wait: for windows that stay closed, for handlers that outlive their streams, for clients that say nothing more.

use crate::rig::{Foreground, h2::Client, parked, until};
use crate::{server, server_with};
use std::time::Duration;
use wire::h2::frame::kind;

/// Waits longer than a connection stays active without a request: until one that became idle just now is parked.
fn while_another_is_parked(running: &Foreground, port: u16) {
    let mut witness = Client::connect(port);
    assert_eq!(witness.get("/ready").answer.text(), "ready");
    until("an idle connection to be parked", || parked(running.child.id()) > 0);
}

/// The window allows all of it at once, so that no frame of the client's is ever needed. It is so much that waking up now and then
/// would not do.
#[test]
fn a_large_answer_leaves_without_another_word_of_the_client() {
    let (prefix, port, _running) = server(
        "location = /memory { content_by_lua_block { local part = string.rep('x', 10000000) for i = 1, 10 do ngx.print(part) end } }
        location = /file { default_type text/plain; }",
    );
    prefix.write("html/file", &"x".repeat(100_000_000));
    for path in ["/memory", "/file"] {
        let mut client = Client::with_window(port, 1 << 30);
        client.takes = false;
        client.wait_at_most(Duration::from_secs(1));
        let reply = client.get(path);
        assert_eq!((reply.answer.status, reply.answer.body.len(), reply.ended), (200, 100_000_000, true), "{path}");
    }
}

/// A stream is given up while its handler goes on: the connection is idle, and its state is still held.
#[test]
fn a_handler_that_outlives_its_stream_holds_up_nobody() {
    let (_prefix, port, running) = server_with(
        "send_timeout 500ms; keepalive_timeout 600s;",
        "location = /long { content_by_lua_block {
            ngx.print(string.rep('x', 100000))
            ngx.flush(true)
            ngx.sleep(600)
        } }",
    );
    let mut client = Client::with_window(port, 0);
    let stream = client.request("GET", "/long", &[], None);
    assert!(client.reply(stream).reset.is_some());
    while_another_is_parked(&running, port);
    assert_eq!(Client::connect(port).get("/ready").answer.text(), "ready");
}

/// The last stream ends after the server has begun to leave; then the client never answers, and idle time is shorter than its time.
#[test]
fn a_client_that_never_answers_does_not_keep_the_server() {
    let (prefix, port, mut running) = server_with(
        "keepalive_timeout 100ms;",
        "location = /work { content_by_lua_block {
            ngx.log(ngx.NOTICE, 'at work')
            while not ngx.worker.exiting() do ngx.sleep(0.01) end
            ngx.print('done')
        } }",
    );
    let mut client = Client::connect(port);
    let stream = client.request("GET", "/work", &[], None);
    until("the request", || prefix.read("logs/error.log").contains("at work"));
    running.signal("-QUIT");
    client.silent = true;
    assert_eq!(client.reply(stream).answer.text(), "done");
    until("the end", || running.child.try_wait().unwrap().is_some());
}

/// ... nor does one whose header block has no end, whether that comes before the server leaves or after.
#[test]
fn half_a_header_block_does_not_keep_the_server() {
    for before in [true, false] {
        let (_prefix, port, mut running) = server_with("client_header_timeout 1500ms;", "");
        let mut client = Client::connect(port);
        assert_eq!(client.get("/ready").answer.text(), "ready");
        client.silent = true;
        // The PING before it, in one piece with it, tells when it has arrived.
        let hang = |client: &mut Client| {
            client.send(b"\0\0\x08\x06\0\0\0\0\0pingpong\0\0\x02\x01\x01\0\0\0\x03\x82\x86");
            client.until("the PING's echo", |client| client.pongs == 1);
        };
        if before {
            hang(&mut client);
        }
        running.signal("-QUIT");
        if !before {
            client.until("GOAWAY", |client| client.goaway.is_some());
            hang(&mut client);
        }
        until("the end", || running.child.try_wait().unwrap().is_some());
    }
}

/// Half a frame on an idle connection has the time of an idle connection.
#[test]
fn half_a_frame_may_come_late() {
    let (_prefix, port, running) = server("");
    let mut client = Client::connect(port);
    assert_eq!(client.get("/ready").answer.text(), "ready");
    client.send(&[0, 0, 8, kind::PING, 0, 0]);
    while_another_is_parked(&running, port);
    client.send(b"\0\0\0pingpong");
    client.until("an echo", |client| client.pongs == 1);
    assert!(!client.closed && client.goaway.is_none());
}
