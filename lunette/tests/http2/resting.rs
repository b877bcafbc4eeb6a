//! Connections that wait: for windows that stay closed, for handlers that outlive their streams, for clients that say nothing more.

use crate::rig::{h2::Client, until};
use crate::{server, server_with};
use std::thread::sleep;
use std::time::Duration;
use wire::h2::frame::kind;

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
    let (_prefix, port, _running) = server_with(
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
    // Longer than a connection stays active without a request.
    sleep(Duration::from_millis(2500));
    assert_eq!(Client::connect(port).get("/ready").answer.text(), "ready");
}

/// The last stream ends after the server has begun to leave; then the client never answers, and idle time is shorter than its time.
#[test]
fn a_client_that_never_answers_does_not_keep_the_server() {
    let (_prefix, port, mut running) =
        server_with("keepalive_timeout 100ms;", "location = /work { content_by_lua_block { ngx.sleep(0.5) ngx.print('done') } }");
    let mut client = Client::connect(port);
    let stream = client.request("GET", "/work", &[], None);

    sleep(Duration::from_millis(100));
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
        let hang = |client: &mut Client| client.frame(kind::HEADERS, 1, 3, b"\x82\x86");
        if before {
            hang(&mut client);
            sleep(Duration::from_millis(100));
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
    let (_prefix, port, _running) = server("");
    let mut client = Client::connect(port);
    assert_eq!(client.get("/ready").answer.text(), "ready");
    client.send(&[0, 0, 8, kind::PING, 0, 0]);
    // Longer than a connection stays active without a request.
    sleep(Duration::from_millis(2500));
    client.send(b"\0\0\0pingpong");
    client.until("an echo", |client| client.pongs == 1);
    assert!(!client.closed && client.goaway.is_none());
}
