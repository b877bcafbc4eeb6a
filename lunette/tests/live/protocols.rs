//! Health checks in every protocol: `stream` over TCP and UDP, TLS, gRPC, FastCGI; and of many servers at once.

use crate::backend::{Backend, Mood};
use crate::rig::{Foreground, Prefix, free_port, get, until};
use std::fmt::Write;
use std::net::UdpSocket;
use std::sync::atomic::Ordering;
use std::thread;

fn run(port: u16, text: &str) -> (Prefix, Foreground) {
    let prefix = Prefix::new();
    let head = "daemon off; worker_processes 2; error_log logs/error.log notice; events { }";
    prefix.write("conf/nginx.conf", &format!("{head}\n{text}\n"));
    let running = Foreground::start(&prefix, port, "").unwrap();
    (prefix, running)
}

#[test]
fn sessions_go_to_servers_that_answer_as_expected() {
    let (one, two, port) = (Backend::start(Mood::good()), Backend::start(Mood::good()), free_port());
    let (prefix, _running) = run(
        port,
        &format!(
            "stream {{ upstream group {{ zone group 64k; server 127.0.0.1:{}; server 127.0.0.1:{}; }}\n\
             match talks {{ send \"GET /health HTTP/1.0\\r\\n\\x0d\\x0a\"; expect ~ well; }}\n\
             server {{ listen {port}; proxy_pass group; health_check interval=100ms match=talks; health_check_timeout 300ms; }} }}",
            one.port, two.port
        ),
    );
    until("checks of both", || one.checks() > 0 && two.checks() > 0);
    for (round, mood) in [Mood::status(200, "ill"), Mood::Closes, Mood::Hangs, Mood::Drips].into_iter().enumerate() {
        let count = |what: &str| prefix.read("logs/error.log").matches(what).count();
        one.be(mood.clone());
        until(&format!("{mood:?} to be found out"), || {
            count("peer is unhealthy while checking data, health check \"talks\" of peer") > round
        });
        let before = one.requests();

        for _ in 0..6 {
            // The answer ends when the server closes, which ours does not.
            let mut stream = std::net::TcpStream::connect(("127.0.0.1", port)).unwrap();
            std::io::Write::write_all(&mut stream, b"GET /x HTTP/1.0\r\n\r\n").unwrap();
            let mut bytes = [0; 16];
            std::io::Read::read_exact(&mut stream, &mut bytes).unwrap();
        }
        assert_eq!(one.requests(), before, "{mood:?}");
        one.be(Mood::good());
        until("it to recover", || count("peer is healthy while checking data") > round);
    }
}

#[test]
fn a_port_that_nobody_listens_on_is_unhealthy_over_udp() {
    let (live, port) = (UdpSocket::bind("127.0.0.1:0").unwrap(), free_port());
    let dead = {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        socket.local_addr().unwrap().port()
    };
    let answers = live.try_clone().unwrap();
    let echo = thread::spawn(move || {
        let mut buffer = [0; 64];
        while let Ok((count, from)) = answers.recv_from(&mut buffer) {
            if &buffer[..count] == b"end" {
                return;
            }
            assert_eq!(&buffer[..count], b"nginx health check");
            answers.send_to(b"here", from).unwrap();
        }
    });
    let own = live.local_addr().unwrap().port();
    let (prefix, running) = run(
        port,
        &format!(
            "stream {{ upstream group {{ zone group 64k; server 127.0.0.1:{own}; server 127.0.0.1:{dead}; }}\n\
             server {{ listen 127.0.0.1:{port} udp; proxy_pass group; health_check udp interval=100ms; health_check_timeout 200ms; }}\n\
             server {{ listen 127.0.0.1:{port}; return ok; }} }}"
        ),
    );
    until("the dead one", || {
        prefix.read("logs/error.log").contains(&format!("health check \"\" of peer 127.0.0.1:{dead} in upstream \"group\""))
    });
    assert!(!prefix.read("logs/error.log").contains(&format!("peer 127.0.0.1:{own} ")));
    drop(running);
    live.send_to(b"end", live.local_addr().unwrap()).unwrap();
    echo.join().unwrap();
}

#[test]
fn another_port_is_asked_if_it_says_so() {
    let (one, port) = (Backend::start(Mood::good()), free_port());
    let (prefix, _running) = run(
        port,
        &format!(
            "http {{ upstream group {{ zone group 64k; server 127.0.0.1:1; }}\n\
             server {{ listen {port}; location / {{ proxy_pass http://group; health_check interval=50ms uri=/health port={}; }} }} }}",
            one.port
        ),
    );
    until("checks", || one.checks() > 2);
    one.be(Mood::Closes);
    let line = format!("of peer 127.0.0.1:1 in upstream \"group\", port {}", one.port);
    until("the line", || prefix.read("logs/error.log").contains(&line));
}

#[test]
fn a_hundred_servers_are_asked_side_by_side() {
    // All of them hang, and none keeps another waiting, nor requests.
    let (hanging, port) = (Backend::start(Mood::Hangs), free_port());
    let servers = (1..=100).fold(String::new(), |mut all, last| {
        write!(all, "server 127.0.0.{last}:{};", hanging.port).unwrap();
        all
    });
    // The server listens on one address; the others refuse, which is known at once.
    let (prefix, _running) = run(
        port,
        &format!(
            "http {{ upstream group {{ zone group 256k; {servers} }}\n\
             server {{ listen {port}; location / {{ return 200 here; }}\n\
             location /group {{ proxy_pass http://group; proxy_read_timeout 500ms; health_check interval=200ms uri=/health mandatory; }}\n\
             location /numbers {{ metrics; }} }} }}"
        ),
    );
    until("a check of each", || {
        assert_eq!(get(port, "/").unwrap().text(), "here");
        prefix.read("logs/error.log").matches("peer is unhealthy").count() >= 100
    });
    assert!(hanging.checks() > 0 && hanging.connections.load(Ordering::SeqCst) > 0);
    let numbers = get(port, "/numbers").unwrap().text();
    let unhealthy = numbers.lines().filter(|line| line.starts_with("lunette_upstream_server_unhealthy{") && line.ends_with(" 1")).count();
    assert_eq!(unhealthy, 100);
    assert_eq!(get(port, "/group").unwrap().status, 502);
}

/// A server of ours that is asked in many protocols, with what each of them says of it.
#[test]
fn every_protocol_asks_in_its_own_words() {
    let (port, own, secure) = (free_port(), free_port(), free_port());
    let prefix = Prefix::new();
    let made = rcgen::generate_simple_self_signed(["backend.example.com".to_owned()]).unwrap();
    prefix.write("conf/cert.pem", &made.cert.pem());
    prefix.write("conf/key.pem", &made.signing_key.serialize_pem());
    let groups = ["secure", "other", "serving", "not", "unimplemented", "fast"].iter().fold(String::new(), |mut all, name| {
        let port = if ["secure", "other"].contains(name) { secure } else { own };
        write!(all, "upstream {name} {{ zone {name} 64k; server 127.0.0.1:{port}; }}").unwrap();
        all
    });
    let ssl = "proxy_ssl_verify on; proxy_ssl_trusted_certificate cert.pem; proxy_ssl_server_name on;";
    prefix.write(
        "conf/nginx.conf",
        &format!(
            "daemon off; worker_processes 1; error_log logs/error.log notice; events {{ }} http {{ {groups}\n\
             server {{ listen 127.0.0.1:{secure} ssl; ssl_certificate cert.pem; ssl_certificate_key key.pem; return 200 well; }}\n\
             server {{ listen 127.0.0.1:{own}; http2 on; add_trailer grpc-status $code; set $code 0;\n\
             location = /grpc.health.v1.Health/Check {{ content_by_lua_block {{\n\
               ngx.req.read_body() local body = ngx.req.get_body_data() or ''\n\
               ngx.header['Content-Type'] = 'application/grpc'\n\
               if body == '\\0\\0\\0\\0\\3\\10\\1b' then ngx.var.code = 12 return end\n\
               ngx.print('\\0\\0\\0\\0\\2\\8', body == '\\0\\0\\0\\0\\3\\10\\1a' and '\\2' or '\\1') }} }} }}\n\
             server {{ listen {port}; location / {{ return 200 here; }}\n\
             location /1 {{ proxy_pass https://secure; {ssl} proxy_ssl_name backend.example.com; health_check mandatory interval=1h; }}\n\
             location /2 {{ proxy_pass https://other; {ssl} proxy_ssl_name other.example.com; health_check mandatory interval=1h; }}\n\
             location /3 {{ grpc_pass serving; health_check mandatory interval=1h type=grpc; }}\n\
             location /4 {{ grpc_pass not; health_check mandatory interval=1h type=grpc grpc_service=a; }}\n\
             location /5 {{ grpc_pass unimplemented; health_check mandatory interval=1h type=grpc grpc_service=b grpc_status=12; }}\n\
             location /6 {{ fastcgi_pass fast; health_check mandatory interval=1h; }} }} }}"
        ),
    );
    let _running = Foreground::start(&prefix, port, "").unwrap();
    for (name, word) in [
        ("secure", "healthy"),
        ("other", "unhealthy"),
        ("serving", "healthy"),
        ("not", "unhealthy"),
        ("unimplemented", "healthy"),
        ("fast", "unhealthy"),
    ] {
        let is_told = |line: &str| line.contains(&format!("peer is {word} while ")) && line.contains(&format!("in upstream \"{name}\""));
        until(&format!("{name} to be {word}: {}", prefix.read("logs/error.log")), || prefix.read("logs/error.log").lines().any(is_told));
    }
    let log = prefix.read("logs/error.log");
    assert!(
        log.contains("upstream SSL certificate does not match \"other.example.com\" while SSL handshaking to upstream, health check \"\""),
        "{log}"
    );
    assert_eq!(get(port, "/").unwrap().text(), "here");
}
