//! How often a request is tried, and what is spared: servers that fail, and those that take connections and say nothing.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use crate::HELLO;
use crate::harness::{Site, Upstream, dead_port, worker};
use http::Outcome;
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;
use tokio::net::{TcpListener, TcpSocket};

fn servers(ports: &[u16], parameters: &str) -> String {
    let servers: String = ports.iter().map(|port| format!("server 127.0.0.1:{port} {parameters};")).collect();
    format!("upstream u {{ {servers} }}")
}

fn dead(count: usize) -> Vec<u16> {
    (0..count).map(|_| dead_port()).collect()
}

/// A port that drops what wants to connect, as a host does that is not there: nobody accepts, and no more can wait.
async fn black_hole() -> (TcpListener, Vec<TcpStream>, u16) {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind(SocketAddr::from(([127, 0, 0, 1], 0))).unwrap();
    let listener = socket.listen(1).unwrap();
    let address = listener.local_addr().unwrap();
    let mut waiting = Vec::new();
    while let Ok(stream) = TcpStream::connect_timeout(&address, Duration::from_millis(300)) {
        waiting.push(stream);
        assert!(waiting.len() < 64, "connections do not run out");
    }
    (listener, waiting, address.port())
}

#[test]
fn tries_are_as_many_as_allowed() {
    for (directive, tries) in
        [("", 5), ("proxy_next_upstream_tries 0;", 5), ("proxy_next_upstream_tries 2;", 2), ("proxy_next_upstream off;", 1)]
    {
        worker(async {
            let site = Site::new(&format!("{} location / {{ proxy_pass http://u; {directive} }}", servers(&dead(5), "")));
            let answer = site.get("/x").await;
            assert_eq!(answer.outcome, Outcome::Status(502), "{directive}");
            let statuses = answer.variable("upstream_status");
            assert_eq!(statuses, vec!["502"; tries].join(", "), "{directive}");
            assert_eq!(answer.variable("upstream_addr").split(", ").count(), tries, "{directive}");
            assert_eq!(site.log.borrow().matches("Connection refused").count(), tries, "{directive}");
        });
    }
}

/// Servers that are known to be dead are not asked by each request anew.
#[test]
fn the_dead_are_left_alone() {
    worker(async {
        let site = Site::new(&format!("{} location / {{ proxy_pass http://u; }}", servers(&dead(3), "fail_timeout=1h")));
        let first = site.get("/x").await;
        assert_eq!((first.outcome, first.variable("upstream_status")), (Outcome::Status(502), "502, 502, 502".to_owned()));
        for _ in 0..20 {
            let answer = site.get("/x").await;
            assert_eq!((answer.outcome, answer.variable("upstream_addr")), (Outcome::Status(502), "u".to_owned()));
        }
        assert_eq!(site.log.borrow().matches("Connection refused").count(), 3);
        assert_eq!(site.log.borrow().matches("no live upstreams").count(), 20);
    });
}

#[test]
fn a_server_that_takes_no_connections_costs_its_time_and_not_the_answer() {
    worker(async {
        let (_listener, _waiting, hole) = black_hole().await;
        let up = Upstream::start(vec![vec![HELLO]]);
        let site = Site::new(&format!(
            "{} location / {{ proxy_pass http://u; proxy_connect_timeout 300ms; }}",
            servers(&[hole, up.port], "fail_timeout=1h")
        ));
        let answer = site.get("/x").await;
        assert_eq!((answer.outcome, answer.variable("upstream_status")), (Outcome::Ok, "504, 200".to_owned()), "{}", site.log.borrow());
        assert!(site.log.borrow().contains("upstream timed out (110: Connection timed out) while connecting to upstream"));
        // A request that nobody has read may be sent elsewhere, whatever it does.
        let alone = Site::new(&format!("{} location / {{ proxy_pass http://u; proxy_connect_timeout 300ms; }}", servers(&[hole], "")));
        assert_eq!(alone.get("/x").await.outcome, Outcome::Status(504));
    });
}

/// `proxy_next_upstream_timeout` ends the search, not a try that runs.
#[test]
fn the_search_for_a_server_has_its_time() {
    worker(async {
        let (_listener, _waiting, hole) = black_hole().await;
        let ports = [hole, hole, hole, hole, hole];
        let text = format!("{} location / {{ proxy_pass http://u; proxy_connect_timeout 300ms; DIRECTIVE }}", servers(&ports, ""));
        let unlimited = Site::new(&text.replace("DIRECTIVE", "")).get("/x").await;
        assert_eq!(unlimited.variable("upstream_status"), "504, 504, 504, 504, 504");
        let limited = Site::new(&text.replace("DIRECTIVE", "proxy_next_upstream_timeout 200ms;")).get("/x").await;
        assert_eq!((limited.outcome, limited.variable("upstream_status")), (Outcome::Status(504), "504".to_owned()));
    });
}

/// No other server would be better off, and none is to blame.
#[test]
fn an_address_that_cannot_be_bound_is_a_fault_of_our_own() {
    worker(async {
        let up = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = up.local_addr().unwrap().port();
        for (directives, pass) in [
            ("proxy_bind 192.0.2.1", format!("proxy_pass http://127.0.0.1:{port}")),
            ("proxy_bind 192.0.2.1", "proxy_pass http://u".to_owned()),
            ("fastcgi_bind 192.0.2.1", "fastcgi_pass u".to_owned()),
        ] {
            let site = Site::new(&format!(
                "upstream u {{ server 127.0.0.1:{port} max_fails=1; server 127.0.0.1:{port} backup; }} location / {{ {directives}; {pass}; }}"
            ));
            for _ in 0..2 {
                let answer = site.get("/x").await;
                assert_eq!(answer.outcome, Outcome::Status(500), "{directives}");
            }
            let log = site.log.borrow();
            let lines: Vec<&str> =
                log.lines().filter(|line| line.contains("bind(192.0.2.1) failed (99: Cannot assign requested address)")).collect();
            assert!(lines.len() == 2 && lines.iter().all(|line| line.contains("[crit]")), "{directives}: {log}");
            assert!(!log.contains("connect() failed") && !log.contains("no live upstreams"), "{directives}: {log}");
        }
        up.set_nonblocking(true).unwrap();
        assert!(up.accept().is_err(), "somebody has connected");
    });
}
