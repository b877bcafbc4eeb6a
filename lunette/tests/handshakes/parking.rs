//! Idle connections that cannot be parked: the beginning of a record has come, and its end does not.

use crate::client::{Authority, Client, Connection};
use crate::rig::{Foreground, Prefix, free_port, get, parked, until};
use wire::h2::frame::{self, FrameHead, PREFACE, kind};

/// One worker, with HTTP/1 and HTTP/2 over TLS, and a second port in clear text; connections may be idle so long.
fn server(idle: &str) -> (Prefix, u16, u16, Foreground) {
    let (prefix, port, plain) = (Prefix::new(), free_port(), free_port());
    Authority::new().write(&prefix, "server");
    prefix.write(
        "conf/nginx.conf",
        &format!(
            "daemon off; worker_processes 1; error_log logs/error.log info;\nevents {{ }}\nhttp {{\n\
             ssl_certificate server.crt; ssl_certificate_key server.key; client_header_timeout {idle}; keepalive_timeout {idle};\n\
             server {{ listen 127.0.0.1:{port} ssl; listen 127.0.0.1:{plain}; http2 on; return 200 answer; }}\n}}\n"
        ),
    );
    let running = Foreground::start(&prefix, plain, "").unwrap();
    (prefix, port, plain, running)
}

/// An idle connection of each protocol.
fn idle(port: u16) -> [Connection; 2] {
    let mut older = Client::speaking(b"http/1.1").connect(port, "server", None).unwrap();
    older.exchange(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n", b"answer").unwrap();
    let mut newer = Client::speaking(b"h2").connect(port, "server", None).unwrap();
    let mut words = PREFACE.to_vec();
    frame::settings(&[], &mut words);
    FrameHead { len: 8, kind: kind::PING, flags: 0, stream: 0 }.write(&mut words);
    words.extend_from_slice(b"pingpong");
    newer.exchange(&words, b"pingpong").unwrap();
    [older, newer]
}

#[test]
fn half_a_record_on_an_idle_connection_holds_up_nobody() {
    let (_prefix, port, plain, running) = server("600s");
    for protocol in 0..2 {
        let mut connection = idle(port).into_iter().nth(protocol).unwrap();
        connection.begin_record();
        // Longer than a connection stays active without a request: until one that became idle later is parked.
        let [witness, _] = idle(port);
        let parked = || parked(running.child.id());
        until("an idle connection to be parked", || parked() > 0);
        assert_eq!(get(plain, "/").unwrap().text(), "answer");
        drop(witness);
        until("its end", || parked() == 0);
    }
}

#[test]
fn half_a_record_does_not_keep_an_idle_connection() {
    let (_prefix, port, plain, running) = server("3s");
    for (mut connection, rests) in idle(port).into_iter().zip([true, false]) {
        if rests {
            until("an idle connection to be parked", || parked(running.child.id()) > 0);
        }
        connection.begin_record();
        connection.end().unwrap();
        assert_eq!(get(plain, "/").unwrap().text(), "answer");
    }
}
