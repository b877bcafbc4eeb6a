//! Bad networks, and hosts with more than one address.

use crate::rig::h3::Client;
use crate::rig::quic::Wishes;
use crate::rig::relay::Relay;
use crate::rig::{free_port, get};
use crate::{server, server_with};
use std::net::UdpSocket;
use std::sync::atomic::Ordering;

#[test]
fn nothing_is_lost_or_doubled_on_a_bad_network() {
    let (prefix, port, _running) = server(
        "client_max_body_size 0; location / { root html; }
         location = /back { content_by_lua_block { ngx.req.read_body()
             local f = ngx.req.get_body_file() ngx.print(ngx.md5(f and io.open(f):read('*a') or ngx.req.get_body_data())) } }
         location = /metrics { metrics; }",
    );
    let large: String = (0..60_000).map(|at| format!("{at}\n")).collect();
    prefix.write("html/large.txt", &large);
    for seed in [1, 0x1234_5678_9abc] {
        let relay = Relay::start(port, seed);
        let mut client = Client::connect(relay.port);
        let streams: Vec<_> = (0..3).map(|_| client.open("GET", "/large.txt", &[], true)).collect();
        let sent = client.request("POST", "/back", &[], Some(large.as_bytes()));
        for stream in streams {
            let reply = client.reply(stream);
            assert!(reply.status == 200 && reply.body == large.as_bytes(), "{seed}: {:?}", client.quic.lost);
        }
        let back = client.get("/back-is-not-there");
        assert_eq!(back.status, 404);
        let reply = client.reply(sent);
        assert_eq!((reply.status, reply.body.len()), (200, 32), "{seed}");
        assert!(relay.lost.load(Ordering::Relaxed) > 10);
        client.quic.close(0x100);
    }
    let number = |name: &str| {
        let metrics = get(port, "/metrics").unwrap().text();
        let line = metrics.lines().find_map(|line| line.strip_prefix(name).map(str::to_owned)).unwrap();
        line.trim().parse::<u64>().unwrap()
    };
    crate::until("connections that have ended", || number("lunette_quic_packets_lost_total ") > 0);
    assert_eq!(number("lunette_quic_connections_total "), 2);
    assert!(number("lunette_requests_ended_total{protocol=\"HTTP/3\"} ") == 10 && number("lunette_quic_datagrams_received_total ") > 100);
    assert_eq!((number("lunette_quic_retries_total "), number("lunette_quic_datagrams_passed_total ")), (0, 0));
}

#[test]
fn answers_come_from_the_address_that_was_asked() {
    let other = free_port();
    let (_prefix, _port, _running) = server_with(
        &format!(
            "server {{ listen 0.0.0.0:{other} quic; listen [::]:{other} quic; ssl_certificate cert.pem; ssl_certificate_key key.pem;
             location / {{ return 200 \"$server_addr $server_port $remote_addr $http3\"; }} }}"
        ),
        "",
    );
    let addresses = ["127.0.0.1", "127.0.0.2", "127.1.2.3", "::1"];
    let there = |ip: &&str| ip.contains('.') || UdpSocket::bind((*ip, 0)).is_ok();
    for ip in addresses.into_iter().filter(there) {
        let mut client = Client::with(other, 0, &Wishes { ip: ip.parse().unwrap(), ..Wishes::new(b"h3") });
        let own = if ip.contains(':') { "::1" } else { "127.0.0.1" };
        assert_eq!(client.get("/").text(), format!("{ip} {other} {own} h3"));
    }
}
