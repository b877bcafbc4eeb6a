//! New clients: how they are let in, and how not.

use crate::rig::quic::peer::{beginning, code};
use crate::rig::quic::{Client, Wishes};
use crate::rig::until;
use crate::{Server, fetch, pid};
use quinn_proto::ConnectionError;
use std::net::UdpSocket;
use std::time::Duration;

#[test]
fn hooks_run_as_they_do_over_tcp() {
    let server = Server::start(
        1,
        "",
        "ssl_client_hello_by_lua_block { ngx.sleep(0.05); local name = require 'ngx.ssl.clienthello'.get_client_hello_server_name()\n\
           if name == 'evil' then ngx.exit(ngx.ERROR) end; ngx.ctx.name = name }\n\
         ssl_certificate_by_lua_block { ngx.sleep(0.05) }\n\
         location / { return 200 \"$ssl_protocol $ssl_server_name $http3 $server_port\"; }",
    );
    let mut client = server.connect();
    let text = String::from_utf8(fetch(&mut client, "/").bytes).unwrap();
    assert_eq!(text, format!("TLSv1.3 localhost hq {}", server.port));
    let evil = Client::connect(server.port, &Wishes { name: "evil".to_owned(), ..Wishes::new(b"hq-interop") }).err().unwrap();
    assert!(code(&evil).is_some_and(|code| code & 0x100 != 0));
}

#[test]
fn sessions_come_back_and_early_data_is_taken() {
    let server = Server::start(1, "ssl_early_data on;", "location / { return 200 \"$ssl_session_reused $ssl_early_data\"; }");
    let wishes = Wishes { early: true, ..Wishes::new(b"hq-interop") };
    let mut first = Client::connect(server.port, &wishes).unwrap();
    assert_eq!(fetch(&mut first, "/").bytes, b". ");
    drop(first);
    for _ in 0..3 {
        let mut again = Client::begin(server.port, &wishes);
        assert_eq!(fetch(&mut again, "/").bytes, b"r 1");
        again.until(|client| client.connected);
        assert_eq!(fetch(&mut again, "/").bytes, b"r ");
    }
}

#[test]
fn a_full_worker_refuses() {
    let server = Server::start(1, "", "location = /wait { content_by_lua_block { ngx.sleep(60) } }");
    let mut kept = Vec::new();
    let refused = loop {
        match Client::connect(server.port, &Wishes::new(b"hq-interop")) {
            Ok(mut client) => {
                // One that is being answered is not closed for others.
                crate::begin(&mut client, "/wait");
                assert!(pid(&mut client) > 0);
                kept.push(client);
            }
            Err(error) => break error,
        }
        assert!(kept.len() < 80);
    };
    assert_eq!(code(&refused), Some(2));
}

#[test]
fn retry_costs_a_round_trip_once() {
    let server = Server::start(2, "quic_retry on;", "");
    let mut client = server.connect();
    assert!(pid(&mut client) > 0);
    let bad = Client::connect(server.port, &Wishes::new(b"nothing")).err().unwrap();
    assert!(matches!(&bad, ConnectionError::ConnectionClosed(close) if u64::from(close.error_code) == 0x100 + 120));
}

#[test]
fn in_a_flood_of_beginnings_clients_prove_their_addresses() {
    let server = Server::with_room(2000, 1, "", "");
    let address = ("127.0.0.1", server.port);
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.set_read_timeout(Some(Duration::from_millis(20))).unwrap();
    let mut answer = [0; 2000];
    let mut asked = (0..3000).any(|number| {
        socket.send_to(&beginning(number), address).unwrap();
        // A Retry packet (RFC 9000, 17.2.5).
        number >= 256 && socket.recv_from(&mut answer).is_ok() && answer[0] & 0xf0 == 0xf0
    });
    until("a Retry packet", || {
        asked |= socket.recv_from(&mut answer).is_ok() && answer[0] & 0xf0 == 0xf0;
        asked
    });
    assert!(pid(&mut server.connect()) > 0);
}
