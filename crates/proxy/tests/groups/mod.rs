//! Groups: which server is asked, and what its answers and failures mean for the next request.

use crate::HELLO;
use crate::harness::{Site, Upstream, dead_port, worker};
use http::Outcome;
use http::body::Body;
use std::rc::Rc;

#[test]
fn a_dead_server_and_a_stale_connection_never_take_a_good_server_down() {
    worker(async {
        // It takes the second request of its first connection and closes.
        let up = Upstream::start(vec![vec![HELLO, ""], vec![HELLO, HELLO, HELLO, HELLO]]);
        let (port, dead) = (up.port, dead_port());
        let servers = format!("server 127.0.0.1:{port}; server 127.0.0.1:{dead};");
        let site = Site::new(&format!("upstream u {{ {servers} }} location / {{ proxy_pass http://u; }}"));
        for i in 0..5 {
            let answer = site.get("/x").await;
            assert_eq!((answer.outcome, answer.body().as_str()), (Outcome::Ok, "hello"), "{i}: {}", site.log.borrow());
        }
        // The dead one alone was marked, and once.
        assert_eq!(site.log.borrow().matches("temporarily disabled").count(), 1);
        assert_eq!(up.requests().len(), 6);
    });
}

#[test]
fn a_stale_connection_blames_nobody_where_nothing_can_be_sent_again() {
    worker(async {
        let up = Upstream::start(vec![vec![HELLO, ""], vec![HELLO]]);
        let (port, dead) = (up.port, dead_port());
        let servers = format!("server 127.0.0.1:{port} weight=100; server 127.0.0.1:{dead};");
        let location = "location / { proxy_pass http://u; proxy_request_buffering off; }";
        let site = Site::new(&format!("upstream u {{ {servers} }} {location}"));
        assert_eq!(site.get("/x").await.outcome, Outcome::Ok);
        let upload = site.run("/x", |request, client| {
            request.line.borrow_mut().method = http::Method::POST;
            request.body.replace(Rc::new(Body::on_wire(Some(65_536))));
            client.upload.set(65_536);
        });
        assert_eq!(upload.await.outcome, Outcome::Status(502));
        let answer = site.get("/x").await;
        assert_eq!((answer.outcome, answer.variable("upstream_addr")), (Outcome::Ok, format!("127.0.0.1:{port}")));
        assert!(!site.log.borrow().contains("temporarily disabled"), "{}", site.log.borrow());
    });
}

#[test]
fn a_cookie_binds_to_the_server_that_answered() {
    worker(async {
        let up = Upstream::start(vec![vec![HELLO, HELLO]]);
        let (port, dead) = (up.port, dead_port());
        let servers = format!("server 127.0.0.1:{dead} route=dead; server 127.0.0.1:{port} route=good;");
        let cookie = "sticky cookie at expires=max domain=a.b httponly secure samesite=$proxy_host path=/p;";
        let site = Site::new(&format!("upstream u {{ {servers} {cookie} }} location / {{ proxy_pass http://u; }}"));
        let answer = site.get("/x").await;
        let expected = "Set-Cookie: at=good; expires=Thu, 31-Dec-37 23:55:55 GMT; max-age=315360000; domain=a.b; httponly; secure; samesite=strict; path=/p";
        let head = answer.client.head.borrow().clone();
        assert_eq!(head.lines().filter(|line| line.starts_with("Set-Cookie")).collect::<Vec<_>>(), [expected]);
        assert_eq!(answer.variable("upstream_addr"), format!("127.0.0.1:{dead}, 127.0.0.1:{port}"));
        assert_eq!(site.get("/x").await.outcome, Outcome::Ok);
    });
}

#[test]
fn requests_queue_for_a_server_that_is_full() {
    worker(async {
        let up = Upstream::start(vec![vec![HELLO, HELLO, HELLO]]);
        let server = format!("server 127.0.0.1:{} max_conns=1;", up.port);
        let site = Site::new(&format!("upstream u {{ {server} queue 2; }} location / {{ proxy_pass http://u; }}"));
        let (a, b, c) = tokio::join!(site.get("/a"), site.get("/b"), site.get("/c"));
        assert_eq!([a.outcome, b.outcome, c.outcome], [Outcome::Ok; 3]);
    });
}

#[test]
fn a_full_queue_and_no_queue_refuse() {
    worker(async {
        for queue in ["queue 1 timeout=1;", ""] {
            let up = Upstream::start(vec![vec![HELLO, HELLO]]);
            let server = format!("server 127.0.0.1:{} max_conns=1;", up.port);
            let site = Site::new(&format!("upstream u {{ {server} {queue} }} location / {{ proxy_pass http://u; }}"));
            let (a, b, c) = tokio::join!(site.get("/a"), site.get("/b"), site.get("/c"));
            let answers = [a.outcome, b.outcome, c.outcome];
            let good = answers.iter().filter(|outcome| **outcome == Outcome::Ok).count();
            assert_eq!(good, if queue.is_empty() { 1 } else { 2 }, "{answers:?}");
            assert!(site.log.borrow().contains("no live upstreams while connecting to upstream"));
            if queue.is_empty() {
                site.get("/d").await;
            }
            assert_eq!(up.requests().len(), 2);
        }
        let site = Site::new("upstream u { server 127.0.0.1:1 down; queue 1 timeout=10ms; } location / { proxy_pass http://u; }");
        assert_eq!(site.get("/x").await.outcome, Outcome::Status(502));
    });
}

#[test]
fn groups_that_are_refused() {
    let refused = [
        ("server 127.0.0.1; zone z;", "zero size shared memory zone \"z\""),
        ("server 127.0.0.1; zone z 1k;", "zone \"z\" is too small"),
        ("server 127.0.0.1; zone z x;", "invalid zone size \"x\""),
        ("server 127.0.0.1; zone \"\";", "invalid zone name \"\""),
        ("server a.b resolve;", "resolving names at run time requires upstream \"u\" to be in shared memory"),
        ("zone z 1m; server a.b resolve;", "no resolver defined to resolve names at run time in upstream \"u\""),
        ("server a.b service=http;", "service upstream \"a.b\" requires \"resolve\" parameter"),
        ("server a.b:80 service=http resolve;", "service upstream \"a.b:80\" may not have port"),
        ("server 127.0.0.1 service=http resolve;", "service upstream \"127.0.0.1\" requires domain name"),
        ("server a.b service= resolve;", "service is empty"),
        ("server nothing.invalid;", "host not found in upstream \"nothing.invalid\""),
        ("server 127.0.0.1 route=;", "route is empty"),
        ("server 127.0.0.1 route=123456789012345678901234567890123;", "route is longer than 32"),
        ("server 127.0.0.1 weight=0;", "invalid parameter \"weight=0\""),
        ("server 127.0.0.1 max_fails;", "invalid parameter \"max_fails\""),
        ("server 127.0.0.1 slow_start=x;", "invalid parameter \"slow_start=x\""),
        ("hash $proxy_host; server 127.0.0.1 backup;", "balancing method does not support parameter \"backup\""),
        ("random; server 127.0.0.1 slow_start=1s;", "balancing method does not support parameter \"slow_start=1s\""),
        ("server 127.0.0.1 backup;", "no servers in upstream \"u\""),
        ("hash $proxy_host x; server 127.0.0.1;", "invalid parameter \"x\""),
        ("random three; server 127.0.0.1;", "invalid parameter \"three\""),
        ("random two least_time; server 127.0.0.1;", "invalid parameter \"least_time\""),
        ("least_time first; server 127.0.0.1;", "invalid value \"first\""),
        ("least_time header x; server 127.0.0.1;", "invalid parameter \"x\""),
        ("sticky cookie a domain=; server 127.0.0.1;", "\"sticky\" directive no value for \"domain\""),
        ("sticky cookie a path=/ path=/; server 127.0.0.1;", "\"sticky\" directive parameter \"path\" is duplicate"),
        ("sticky cookie a samesite=x; server 127.0.0.1;", "\"sticky\" directive invalid \"samesite\" parameter value"),
        ("sticky route a; server 127.0.0.1;", "invalid variable name \"a\""),
        ("sticky learn zone=s:1m lookup=$proxy_host; server 127.0.0.1;", "\"sticky\" directive \"create\" parameter is not specified"),
        ("sticky learn lookup=x; server 127.0.0.1;", "\"sticky\" directive missing variable in the \"lookup\" parameter"),
        ("sticky x y; server 127.0.0.1;", "unknown parameter \"x\""),
        ("sticky route $proxy_host; sticky route $proxy_host; server 127.0.0.1;", "\"sticky\" directive is duplicate"),
        ("queue x; server 127.0.0.1;", "\"queue\" directive invalid number"),
        ("queue 1 timeout=x; server 127.0.0.1;", "invalid parameter \"timeout=x\""),
    ];
    for (group, error) in refused {
        let got = Site::try_new(&format!("upstream u {{ {group} }} location / {{ }}")).err().unwrap_or_default();
        assert!(got.starts_with(error), "{group}: {got}");
    }
}
