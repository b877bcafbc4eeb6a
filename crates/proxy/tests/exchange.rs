//! Exchanges over real sockets: what upstreams see, what clients get, what is remembered.

mod balancer;
mod gateway;
mod groups;
mod harness;
mod http2;
mod memcached;
mod redis;
mod retries;
mod secure;

use harness::{Client, Site, Upstream, dead_port, worker};
use http::Outcome;
use http::body::Body;
use std::io::{Read, Write};
use std::time::Duration;

const HELLO: &str =
    "HTTP/1.1 200 Fine\r\nServer: secret\r\nX-One: 1\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: 5\r\n\r\nhello";

#[test]
fn the_request_and_the_answer_as_nginx_makes_them() {
    worker(async {
        let up = Upstream::start(vec![vec![HELLO]]);
        let port = up.port;
        let site = Site::new(&format!(
            "proxy_hide_header X-Hidden; location /in/ {{ proxy_pass http://127.0.0.1:{port}/out/; proxy_set_header X-Set a$proxy_host; proxy_set_header X-Empty \"\"; }}"
        ));
        let answer = site
            .run("/in/a%20b?c=d", |request, _| {
                let mut line = request.line.borrow_mut();
                line.uri = b"/in/a b".to_vec();
                line.quoted = true;
                let mut headers = request.headers.borrow_mut();
                for (name, value) in
                    [("Host", "client"), ("X-Keep", "k"), ("TE", "x"), ("Upgrade", "h2c"), ("X-Empty", "gone"), ("Connection", "close")]
                {
                    headers.push(name.as_bytes(), value.as_bytes());
                }
            })
            .await;
        assert_eq!(answer.outcome, Outcome::Ok);
        assert_eq!(*answer.client.head.borrow(), "200\nContent-Length: 5\nContent-Type: text/plain\nX-One: 1\n");
        assert_eq!(answer.body(), "hello");
        assert!(answer.client.ended.get());
        assert_eq!(answer.variable("upstream_status"), "200");
        assert_eq!(answer.variable("upstream_addr"), format!("127.0.0.1:{port}"));
        assert_eq!(answer.variable("upstream_http_x_one"), "1");
        assert_eq!(answer.variable("upstream_response_length"), "5");
        let expected = format!("GET /out/a%20b?c=d HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nX-Set: a127.0.0.1:{port}\r\nX-Keep: k\r\n\r\n");
        assert_eq!(up.requests(), [expected]);
    });
}

#[test]
fn a_connection_is_used_again_and_a_stale_one_costs_nothing() {
    worker(async {
        let up = Upstream::start(vec![vec![HELLO, HELLO], vec![HELLO]]);
        let port = up.port;
        let site = Site::new(&format!("upstream u {{ server 127.0.0.1:{port}; }} location / {{ proxy_pass http://u; }}"));
        for _ in 0..3 {
            let answer = site.get("/x").await;
            assert_eq!((answer.outcome, answer.body().as_str()), (Outcome::Ok, "hello"));
            assert_eq!(answer.variable("upstream_addr"), format!("127.0.0.1:{port}"));
        }
        assert_eq!(up.requests().len(), 3);
        assert!(!site.log.borrow().contains("[error]"), "{}", site.log.borrow());
    });
}

/// The upstream reads the second request of a connection whole and closes: what it did with it, nobody knows.
#[test]
fn what_may_do_harm_twice_is_sent_once_on_a_stale_connection() {
    for (method, repeats) in
        [("GET", true), ("PUT", true), ("DELETE", true), ("POST", false), ("PATCH", false), ("LOCK", false), ("PURGE", false)]
    {
        for (rule, brave) in [("off", false), ("error", false), ("error non_idempotent", true)] {
            worker(async {
                let up = Upstream::start(vec![vec![HELLO, ""], vec![HELLO]]);
                let site = Site::new(&format!(
                    "upstream u {{ server 127.0.0.1:{}; }} location / {{ proxy_next_upstream {rule}; proxy_pass http://u; }}",
                    up.port
                ));
                assert_eq!(site.get("/x").await.outcome, Outcome::Ok);
                let answer = site
                    .run("/x", |request, _| {
                        let mut line = request.line.borrow_mut();
                        line.method = http::Method::from_name(method.as_bytes());
                        line.method_name = method.as_bytes().to_vec();
                        drop(line);
                        http::body::replace(request, Body::from_bytes(b"body".to_vec()));
                    })
                    .await;
                let expected = if repeats || brave { Outcome::Ok } else { Outcome::Status(502) };
                assert_eq!(answer.outcome, expected, "{method}, {rule}");
            });
        }
    }
}

#[test]
fn the_next_server_answers_for_one_that_does_not() {
    worker(async {
        let up = Upstream::start(vec![vec![HELLO]]);
        let (dead, port) = (dead_port(), up.port);
        let site =
            Site::new(&format!("upstream u {{ server 127.0.0.1:{dead}; server 127.0.0.1:{port}; }} location / {{ proxy_pass http://u; }}"));
        let answer = site.get("/x").await;
        assert_eq!(answer.body(), "hello");
        assert_eq!(answer.variable("upstream_status"), "502, 200");
        assert_eq!(answer.variable("upstream_addr"), format!("127.0.0.1:{dead}, 127.0.0.1:{port}"));
        let log = site.log.borrow();
        assert!(log.contains("connect() failed (111: Connection refused) while connecting to upstream"), "{log}");
        assert!(log.contains(&format!("upstream: \"http://127.0.0.1:{dead}/x\"")), "{log}");
    });
}

#[test]
fn no_live_upstreams_is_a_502() {
    worker(async {
        let site = Site::new("upstream u { server 127.0.0.1:1 down; } location / { proxy_pass http://u; }");
        let answer = site.get("/x").await;
        assert_eq!(answer.outcome, Outcome::Status(502));
        assert_eq!(answer.variable("upstream_addr"), "u");
        assert!(site.log.borrow().contains("no live upstreams while connecting to upstream"));
    });
}

#[test]
fn bad_heads_are_a_502_and_nothing_leaks() {
    for bad in [
        "garbage\r\n\r\nmore",
        "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\nhello",
        "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello",
        "HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\nhello",
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\nraw",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nhello",
        "HTTP/1.1 200 O",
        "",
    ] {
        worker(async {
            let up = Upstream::start(vec![vec![bad]]);
            let site = Site::new(&format!("location / {{ proxy_pass http://127.0.0.1:{}; }}", up.port));
            let answer = site.get("/x").await;
            assert_eq!((answer.outcome, answer.body().as_str()), (Outcome::Status(502), ""), "{bad}");
            assert_eq!(*answer.client.head.borrow(), "", "{bad}");
            assert!(site.log.borrow().contains("while reading response header from upstream"), "{bad}: {}", site.log.borrow());
        });
    }
}

#[test]
fn a_body_that_breaks_off_is_passed_on_and_not_ended() {
    for (broken, kept) in [
        ("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhello", "hello"),
        ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n", "hello"),
    ] {
        worker(async {
            let up = Upstream::start(vec![vec![broken]]);
            let site = Site::new(&format!("location / {{ proxy_pass http://127.0.0.1:{}; }}", up.port));
            let answer = site.get("/x").await;
            assert_eq!((answer.outcome, answer.body().as_str()), (Outcome::Error, kept));
            assert!(!answer.client.ended.get());
            assert!(site.log.borrow().contains("upstream prematurely closed connection while reading upstream"));
        });
    }
}

#[test]
fn chunks_are_taken_apart_and_an_interim_answer_is_skipped() {
    worker(async {
        let text = "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5;x=y\r\nhello\r\n3\r\n yo\r\n0\r\nX-T: v\r\n\r\n";
        let up = Upstream::start(vec![vec![text]]);
        let site = Site::new(&format!("location / {{ proxy_buffering off; proxy_pass http://127.0.0.1:{}; }}", up.port));
        let answer = site.get("/x").await;
        assert_eq!((answer.outcome, answer.body().as_str()), (Outcome::Ok, "hello yo"));
        assert_eq!(answer.variable("upstream_trailer_x_t"), "v");
    });
}

#[test]
fn a_client_that_keeps_up_needs_no_file() {
    worker(async {
        let body = "x".repeat(300_000);
        let text = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len());
        let up = Upstream::start(vec![vec![text.leak()]]);
        let site = Site::new(&format!("location / {{ proxy_pass http://127.0.0.1:{}; }}", up.port));
        let answer = site.get("/x").await;
        assert_eq!((answer.outcome, answer.body() == body), (Outcome::Ok, true));
        assert!(!site.log.borrow().contains("temporary file"), "{}", site.log.borrow());
    });
}

#[test]
fn interim_answers_without_end_are_a_502() {
    const HINT: &str = "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n";
    for (count, outcome) in [(16, Outcome::Ok), (17, Outcome::Status(502))] {
        worker(async {
            let text = HINT.repeat(count) + HELLO;
            let up = Upstream::start(vec![vec![text.leak()]]);
            let site = Site::new(&format!("location / {{ proxy_pass http://127.0.0.1:{}; }}", up.port));
            assert_eq!(site.get("/x").await.outcome, outcome, "{count}");
        });
    }
}

/// An upstream that sends nothing but interim responses has the time of one that sends nothing.
#[test]
fn interim_answers_do_not_prolong_the_wait() {
    worker(async {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            stream.set_read_timeout(Some(Duration::from_millis(300))).unwrap();
            let mut received = [0; 1024];
            assert!(stream.read(&mut received).unwrap() > 0);
            for _ in 0..16 {
                stream.write_all(b"HTTP/1.1 103 Early Hints\r\n\r\n").unwrap();
                // A pause, which ends with the connection.
                if stream.read(&mut received).is_ok() {
                    return;
                }
            }
            drop(stream.write_all(HELLO.as_bytes()));
        });
        let site = Site::new(&format!("location / {{ proxy_read_timeout 600ms; proxy_pass http://127.0.0.1:{port}; }}"));
        // Each pause is shorter than the timeout, all of them together are longer.
        assert_eq!(site.get("/x").await.outcome, Outcome::Status(504));
    });
}

#[test]
fn a_body_is_sent_with_its_own_length_whatever_headers_say() {
    worker(async {
        let up = Upstream::start(vec![vec![HELLO]]);
        let site = Site::new(&format!(
            "location / {{ proxy_pass http://127.0.0.1:{}; proxy_set_header Content-Length 99; proxy_set_header Transfer-Encoding chunked; }}",
            up.port
        ));
        let answer = site
            .run("/x", |request, _| {
                request.line.borrow_mut().method_name = b"POST".to_vec();
                request.body.replace(std::rc::Rc::new(Body::from_bytes(b"abc".to_vec())));
                request.headers.borrow_mut().push(b"Content-Length", b"7");
            })
            .await;
        assert_eq!(answer.outcome, Outcome::Ok);
        let got = up.requests().concat();
        assert!(got.starts_with("POST /x HTTP/1.1\r\n") && got.ends_with("Content-Length: 3\r\n\r\nabc"), "{got}");
    });
}

#[test]
fn a_slow_client_gets_all_from_memory_and_file() {
    worker(async {
        let dir = std::env::temp_dir().join(format!("lunette-proxy-{}", std::process::id()));
        std::fs::create_dir_all(&dir).unwrap();
        let body = "0123456789".repeat(30_000);
        let text: &'static str = Box::leak(format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len()).into_boxed_str());
        let up = Upstream::start(vec![vec![text]]);
        let site = Site::new(&format!(
            "location / {{ proxy_pass http://127.0.0.1:{}; proxy_temp_path {}; proxy_buffers 4 4k; }}",
            up.port,
            dir.display()
        ));
        let client = std::rc::Rc::new(Client::default());
        client.stuck.set(true);
        // The client takes nothing until memory is full.
        let release = async {
            while !site.log.borrow().contains("temporary file") {
                tokio::task::yield_now().await;
            }
            client.stuck.set(false);
        };
        let (answer, ()) = tokio::join!(site.serve(client.clone(), "/x", |_, _| {}), release);
        assert_eq!(answer.outcome, Outcome::Ok);
        assert!(answer.body() == body);
        assert!(site.log.borrow().contains("an upstream response is buffered to a temporary file"), "{}", site.log.borrow());
        let _ = std::fs::remove_dir_all(dir);
    });
}

#[test]
fn redirects_and_cookies_are_rewritten() {
    worker(async {
        let text: &'static str = "HTTP/1.1 302 Found\r\nLocation: http://back/out/next\r\nRefresh: 5; url=http://back/out/z\r\nSet-Cookie: a=b; Domain=.Up.example; Path=/out/x\r\nContent-Length: 0\r\n\r\n";
        let up = Upstream::start(vec![vec![text]]);
        let site = Site::new(&format!(
            "upstream back {{ server 127.0.0.1:{}; }} location /in/ {{ proxy_pass http://back/out/; proxy_cookie_domain up.example down.example; proxy_cookie_path ~^/out(.*) /in$1; proxy_cookie_flags a secure samesite=lax; }}",
            up.port
        ));
        let answer = site.get("/in/").await;
        let head = answer.client.head.borrow();
        // What a rule made is a place of this server.
        for line in [
            "Location: http://127.0.0.1:1000/in/next",
            "Refresh: 5; url=/in/z",
            "Set-Cookie: a=b; Domain=.down.example; Path=/in/x; Secure; SameSite=Lax",
        ] {
            assert!(head.contains(line), "{line} in {head}");
        }
    });
}

#[test]
fn a_redirect_that_no_rule_changes_stays_as_it_is() {
    for (sent, expected) in [("/out/a", "http://127.0.0.1:1000/in/a"), ("/other", "/other"), ("http://x/", "http://x/")] {
        worker(async {
            let text = format!("HTTP/1.1 302 Found\r\nLocation: {sent}\r\nContent-Length: 0\r\n\r\n");
            let up = Upstream::start(vec![vec![Box::leak(text.into_boxed_str())]]);
            let site = Site::new(&format!("location / {{ proxy_pass http://127.0.0.1:{}; proxy_redirect /out/ /in/; }}", up.port));
            let answer = site.get("/x").await;
            assert!(answer.client.head.borrow().contains(&format!("Location: {expected}\n")), "{sent}: {}", answer.client.head.borrow());
        });
    }
}

#[test]
fn an_upstream_can_redirect_within_the_server() {
    worker(async {
        let up = Upstream::start(vec![vec![
            "HTTP/1.1 200 OK\r\nX-Accel-Redirect: /files/a%20b?c\r\nSet-Cookie: k=v\r\nContent-Length: 0\r\n\r\n",
        ]]);
        let site = Site::new(&format!("location / {{ proxy_pass http://127.0.0.1:{}; }}", up.port));
        let answer = site.get("/x").await;
        assert_eq!(answer.outcome, Outcome::Done);
        let jump = answer.request.progress.jump.borrow().clone();
        assert_eq!(jump, Some(http::Jump::Internal { uri: b"/files/a b".to_vec(), args: b"c".to_vec() }));
        assert_eq!(answer.request.response.borrow().headers.get(b"set-cookie"), Some(&b"k=v"[..]));
    });
}

#[test]
fn a_url_with_variables_needs_an_address() {
    worker(async {
        let up = Upstream::start(vec![vec![HELLO]]);
        let site = Site::new(&format!("location / {{ proxy_pass http://127.0.0.1:{}$proxy_add_x_forwarded_for; }}", up.port));
        // No slash after the port: that is no URL.
        assert_eq!(site.get("/x").await.outcome, Outcome::Status(500));
        let site = Site::new(&format!("location / {{ proxy_pass http://127.0.0.1:{}/$proxy_add_x_forwarded_for; }}", up.port));
        assert_eq!(site.get("/x").await.outcome, Outcome::Ok);
        assert!(up.requests().concat().starts_with("GET /127.0.0.1 HTTP/1.1\r\n"));
        let site = Site::new("location / { proxy_pass http://$proxy_add_x_forwarded_for.invalid/; }");
        assert_eq!(site.get("/x").await.outcome, Outcome::Status(502));
        assert!(site.log.borrow().contains("no resolver defined to resolve 127.0.0.1.invalid"));
    });
}

#[test]
fn configurations_that_are_refused() {
    for (text, error) in [
        ("location / { proxy_pass ftp://x; }", "invalid URL prefix"),
        ("location / { proxy_pass ftp://127.0.0.1; }", "invalid URL prefix"),
        (
            "location / { proxy_pass http://127.0.0.1; proxy_buffers 2 4k; proxy_busy_buffers_size 64k; }",
            "\"proxy_busy_buffers_size\" must be less than",
        ),
        ("upstream u { server 127.0.0.1; } location / { proxy_pass http://u:80; }", "upstream \"u\" may not have port 80"),
        ("upstream u { } location / { }", "no servers are inside upstream"),
        ("location / { proxy_pass http://nothing.invalid; }", "host not found in upstream \"nothing.invalid\""),
    ] {
        let got = Site::try_new(text).err().unwrap_or_default();
        assert!(got.starts_with(error), "{text}: {got}");
    }
}
