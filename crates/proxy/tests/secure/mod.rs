//! TLS to upstreams: who is meant and believed, what is resumed and kept, and what is said when it fails.

mod server;

use crate::harness::{Site, Upstream, worker};
use http::Outcome;
use server::{Authority, Server};
use std::rc::Rc;
use upstream::balancer::{Decision, Target};

const HELLO: &str = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello";
const UWSGI: &str = "Status: 200 OK\r\nContent-Length: 5\r\n\r\nhello";
const VERSIONS: [&str; 2] = ["TLSv1.2", "TLSv1.3"];

#[test]
fn an_answer_comes_over_tls_and_the_connection_is_kept_for_its_like() {
    for version in VERSIONS {
        worker(async {
            let authority = Authority::new(&format!("kept{version}"));
            let up = Server::start(authority.settings("a.example.com", version), 2, HELLO);
            let site = Site::new(&format!(
                "upstream u {{ server 127.0.0.1:{}; keepalive 4; }} \
                 location / {{ proxy_ssl_server_name on; proxy_ssl_name $arg_name:443; proxy_pass https://u; }}",
                up.port
            ));
            for name in ["a.example.com", "a.example.com", "b.example.com", "a.example.com"] {
                let answer = site.get(&format!("/x?name={name}")).await;
                assert_eq!((answer.outcome, answer.body().as_str()), (Outcome::Ok, "hello"), "{}", site.log.borrow());
                assert_eq!(answer.variable("proxy_host"), "u");
            }
            drop(site);
            let seen = up.seen();
            let shown: Vec<_> = seen.iter().map(|seen| (seen.name.as_deref(), seen.requests, seen.cut)).collect();
            assert_eq!(shown, [(Some("a.example.com"), 3, false), (Some("b.example.com"), 1, false)]);
        });
    }
}

#[test]
fn a_balancer_says_whether_and_with_whom() {
    worker(async {
        let authority = Authority::new("balancer");
        let up = Server::start(authority.settings("a.example.com", "TLSv1.3"), 2, HELLO);
        let plain = Upstream::start(vec![vec![HELLO]]);
        let (secure_port, plain_port) = (up.port, plain.port);
        let site = Site::new("upstream u { test_balancer; keepalive 4; } location / { proxy_ssl_server_name on; proxy_pass https://u; }");
        crate::balancer::chooses(move |request, turn| {
            let host = request.line.borrow().uri.get(1..).map(Rc::<[u8]>::from);
            let secure = host.as_deref() != Some(b"plain");
            assert!(turn.use_tls(secure));
            turn.set(Target { host, ..crate::balancer::to(if secure { secure_port } else { plain_port }) });
            Decision::Go
        });
        for name in ["a.example.com", "plain", "b.example.com", "a.example.com"] {
            assert_eq!(site.get(&format!("/{name}")).await.body(), "hello", "{name} {}", site.log.borrow());
        }
        drop(site);
        let seen = up.seen();
        let shown: Vec<_> = seen.iter().map(|seen| (seen.name.as_deref(), seen.requests)).collect();
        assert_eq!(shown, [(Some("a.example.com"), 2), (Some("b.example.com"), 1)]);
        assert_eq!(plain.requests().len(), 1);
    });
}

#[test]
fn sessions_are_resumed_unless_they_must_not_be() {
    for version in VERSIONS {
        for (reuse, expected) in [("on", [false, true, true]), ("off", [false; 3])] {
            worker(async {
                let authority = Authority::new(&format!("reuse{version}{reuse}"));
                let up = Server::start(authority.settings("localhost", version), 3, HELLO);
                let site = Site::new(&format!(
                    "location / {{ proxy_ssl_session_reuse {reuse}; proxy_set_header Connection close; proxy_pass https://127.0.0.1:{}; }}",
                    up.port
                ));
                for _ in 0..3 {
                    assert_eq!(site.get("/x").await.body(), "hello", "{}", site.log.borrow());
                }
                let seen = up.seen();
                assert_eq!(seen.iter().map(|seen| seen.resumed).collect::<Vec<_>>(), expected, "{version} {reuse}");
                assert!(seen.iter().all(|seen| seen.name.is_none() && !seen.cut), "{seen:?}");
            });
        }
    }
}

#[test]
fn servers_are_verified() {
    let (authority, other) = (Authority::new("verify"), Authority::new("verify-other"));
    let trusts = |authority: &Authority| format!("proxy_ssl_verify on; proxy_ssl_trusted_certificate {};", authority.file("root.pem"));
    for (said, expected, line) in [
        (format!("{} proxy_ssl_name a.example.com;", trusts(&authority)), Outcome::Ok, ""),
        (
            format!("{} proxy_ssl_name b.example.com:8443;", trusts(&authority)),
            Outcome::Status(502),
            "upstream SSL certificate does not match \"b.example.com\" while SSL handshaking to upstream",
        ),
        (
            format!("{} proxy_ssl_name b.example.com;", trusts(&other)),
            Outcome::Status(502),
            "upstream SSL certificate verify error: (21:unable to verify the first certificate) while SSL handshaking to upstream",
        ),
        (trusts(&authority), Outcome::Status(502), "upstream SSL certificate does not match \"127.0.0.1\""),
    ] {
        worker(async {
            let up = Server::start(authority.settings("a.example.com", "TLSv1.3"), 1, HELLO);
            let site = Site::new(&format!("location / {{ {said} proxy_pass https://127.0.0.1:{}; }}", up.port));
            assert_eq!(site.get("/x").await.outcome, expected, "{said} {}", site.log.borrow());
            let log = site.log.borrow();
            assert!(
                log.contains(line) && log.contains(&format!("upstream: \"https://127.0.0.1:{}/x\"", up.port)) != line.is_empty(),
                "{log}"
            );
        });
    }
}

#[test]
fn clients_show_their_certificates() {
    let authority = Authority::new("shown");
    authority.sign("c.example.com");
    let file = |name: &str| authority.file(name);
    let base = file("");
    let fixed = format!("proxy_ssl_certificate {}; proxy_ssl_certificate_key {};", file("c.example.com.crt"), file("c.example.com.key"));
    let variable = format!("proxy_ssl_certificate {base}$arg_c.crt; proxy_ssl_certificate_key {base}$arg_c.key;");
    for (said, target, expected) in [
        (fixed.clone(), "/x", Some("CN=c.example.com")),
        (variable.clone(), "/x?c=c.example.com", Some("CN=c.example.com")),
        (format!("{variable} proxy_ssl_certificate_cache max=4;"), "/x?c=c.example.com", Some("CN=c.example.com")),
        ("proxy_ssl_certificate $arg_c; proxy_ssl_certificate_key $arg_c;".to_owned(), "/x", Some("")),
        ("proxy_ssl_certificate \"\"; proxy_ssl_certificate_key \"\";".to_owned(), "/x", Some("")),
        (
            format!(
                "proxy_ssl_conf_command Certificate {}; proxy_ssl_conf_command PrivateKey {};",
                file("c.example.com.crt"),
                file("c.example.com.key")
            ),
            "/x",
            Some("CN=c.example.com"),
        ),
        (variable, "/x?c=none", None),
    ] {
        worker(async {
            let up = Server::start(authority.settings("localhost", "TLSv1.3"), 2, HELLO);
            let site =
                Site::new(&format!("location / {{ {said} proxy_set_header Connection close; proxy_pass https://127.0.0.1:{}; }}", up.port));
            let (one, two) = (site.get(target).await, site.get(target).await);
            let Some(client) = expected else {
                assert_eq!(one.outcome, Outcome::Status(500));
                assert!(site.log.borrow().contains("cannot load certificate \""), "{}", site.log.borrow());
                return;
            };
            assert_eq!((one.body(), two.body()), ("hello".to_owned(), "hello".to_owned()), "{said} {}", site.log.borrow());
            let seen: Vec<_> = up.seen().into_iter().map(|seen| (seen.client, seen.resumed)).collect();
            assert_eq!(seen, [(client.to_owned(), false), (client.to_owned(), true)]);
        });
    }
}

#[test]
fn a_handshake_that_fails_asks_the_next_server() {
    worker(async {
        let plain = Upstream::start(vec![vec![]]);
        let authority = Authority::new("next");
        let up = Server::start(authority.settings("localhost", "TLSv1.3"), 1, HELLO);
        let site = Site::new(&format!(
            "upstream u {{ server 127.0.0.1:{}; server 127.0.0.1:{}; }} location / {{ proxy_pass https://u; }}",
            plain.port, up.port
        ));
        let answer = site.get("/x").await;
        assert_eq!((answer.body().as_str(), answer.variable("upstream_status").as_str()), ("hello", "502, 200"));
        let log = site.log.borrow();
        assert!(log.contains("peer closed connection in SSL handshake"), "{log}");
        assert!(log.contains("while SSL handshaking to upstream"), "{log}");
    });
}

#[test]
fn who_speaks_no_tls_or_nothing_is_a_bad_gateway() {
    use std::io::Write as _;
    for (says, limit, status, line) in [
        (
            &b"HTTP/1.1 400 Bad Request\r\n\r\n"[..],
            "60s",
            502,
            "SSL_do_handshake() failed (SSL: error:0A00010B:SSL routines::wrong version number)",
        ),
        (b"", "50ms", 504, "upstream timed out (110: Connection timed out) while SSL handshaking to upstream"),
    ] {
        worker(async {
            let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
            let port = listener.local_addr().unwrap().port();
            let site = Site::new(&format!("location / {{ proxy_connect_timeout {limit}; proxy_pass https://127.0.0.1:$arg_port; }}"));
            let peer = std::thread::spawn(move || {
                let (mut socket, _) = listener.accept().unwrap();
                socket.write_all(says).unwrap();
                std::io::copy(&mut socket, &mut std::io::sink()).unwrap();
            });
            let answer = site.get(&format!("/x?port={port}")).await;
            assert_eq!(answer.outcome, Outcome::Status(status));
            let log = site.log.borrow();
            assert!(log.contains(line) && log.contains(&format!("upstream: \"https://127.0.0.1:{port}/x?port={port}\"")), "{log}");
            peer.join().unwrap();
        });
    }
}

#[test]
fn uwsgi_speaks_tls_too() {
    worker(async {
        let authority = Authority::new("uwsgi");
        let up = Server::start(authority.settings("u.example.com", "TLSv1.3"), 1, UWSGI);
        let site = Site::new(&format!(
            "location / {{ uwsgi_ssl_verify on; uwsgi_ssl_trusted_certificate {}; uwsgi_ssl_name u.example.com; \
             uwsgi_ssl_server_name on; uwsgi_param X \"\r\n\r\n\"; uwsgi_pass suwsgi://127.0.0.1:{}; }}",
            authority.file("root.pem"),
            up.port
        ));
        let answer = site.get("/x").await;
        assert_eq!(answer.outcome, Outcome::Ok, "{}", site.log.borrow());
        drop(site);
        assert_eq!(up.seen().first().and_then(|seen| seen.name.clone()).as_deref(), Some("u.example.com"));
    });
}

#[test]
fn directives_are_checked() {
    let pass = "proxy_pass https://127.0.0.1:1;";
    for (said, text) in [
        ("proxy_ssl_verify on;", "no proxy_ssl_trusted_certificate for proxy_ssl_verify"),
        ("proxy_ssl_certificate a.crt;", "no \"proxy_ssl_certificate_key\" is defined for certificate \"a.crt\""),
        (
            "proxy_ssl_certificate /none.crt; proxy_ssl_certificate_key /none.key;",
            "cannot load certificate \"/none.crt\": BIO_new_file() failed",
        ),
        ("proxy_ssl_protocols TLSv9;", "invalid value \"TLSv9\""),
        ("proxy_ssl_ciphers RC4-SHA;", "SSL_CTX_set_cipher_list(\"RC4-SHA\") failed"),
        ("proxy_ssl_conf_command Nope 1;", "SSL_CONF_cmd(\"Nope\", \"1\") failed"),
        ("proxy_ssl_certificate_cache valid=1s;", "\"proxy_ssl_certificate_cache\" must have the \"max\" parameter"),
        ("proxy_ssl_certificate_cache max=0;", "invalid parameter \"max=0\""),
        ("proxy_ssl_password_file /none;", "open() \"/none\" failed (2: No such file or directory)"),
        ("proxy_ssl_verify on; proxy_ssl_verify on;", "\"proxy_ssl_verify\" directive is duplicate"),
        ("proxy_ssl_verify on; proxy_ssl_trusted_certificate /none;", "cannot load certificate \"/none\""),
        ("proxy_ssl_key_log /none/log;", "open() \"/none/log\" failed"),
    ] {
        let error = Site::try_new(&format!("location / {{ {said} {pass} }}")).err().unwrap_or_default();
        assert!(error.starts_with(text), "{said}: {error}");
    }
    let site = Site::new(&format!("location / {{ proxy_ssl_protocols TLSv1 TLSv1.2; {pass} }}"));
    assert!(site.log.borrow().contains("[warn]") && site.log.borrow().contains("protocol \"TLSv1\" is not supported"));
    // Without TLS nobody looks at it.
    assert!(Site::try_new("location / { proxy_ssl_verify on; proxy_pass http://127.0.0.1:1; }").is_ok());
}

#[test]
fn secrets_are_logged_where_that_is_asked_for() {
    for (version, label) in [("TLSv1.2", "CLIENT_RANDOM "), ("TLSv1.3", "SERVER_TRAFFIC_SECRET_0 ")] {
        worker(async {
            let authority = Authority::new(&format!("keys{version}"));
            let up = Server::start(authority.settings("localhost", version), 1, HELLO);
            let log = authority.file("keys");
            let site = Site::new(&format!("location / {{ proxy_ssl_key_log {log}; proxy_pass https://127.0.0.1:{}; }}", up.port));
            assert_eq!(site.get("/x").await.body(), "hello");
            let text = std::fs::read_to_string(log).unwrap();
            assert!(text.lines().any(|line| line.starts_with(label)), "{text}");
        });
    }
}
