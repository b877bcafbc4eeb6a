//! Runs the examples: each is copied to a prefix of its own, with free ports, and the requests of its README are sent.
// A test that cannot go on has failed.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod balanced;
#[path = "../spec/compare.rs"]
mod compare;
mod copy;
mod gateway;
mod live;
#[path = "../spec/page.rs"]
#[allow(dead_code)]
mod page;
#[path = "../rig/mod.rs"]
mod rig;
#[path = "../applications/server.rs"]
mod server;
mod stores;

use copy::{Copy, directories};
use rig::until;
use server::{At, Server, program};
use std::process::Command;

#[test]
fn every_example_is_listed_and_tested() {
    let source = [include_str!("main.rs"), include_str!("balanced.rs"), include_str!("gateway.rs"), include_str!("stores.rs")].concat();
    let index = std::fs::read_to_string(copy::root().join("README.md")).unwrap();
    for name in directories() {
        assert!(index.contains(&format!("]({name}/README.md)")), "{name} is not in examples/README.md");
        assert!(source.contains(&format!("(\"{name}\")")), "{name} has no test");
    }
}

/// Examples that need nothing else.
#[test]
fn readmes_are_right() {
    let alone = [
        Copy::of("quickstart"),
        Copy::of("spa"),
        Copy::of("waf"),
        Copy::of("canary"),
        Copy::of("live"),
        Copy::of("webhooks"),
        Copy::of("images"),
        Copy::of("templates"),
    ];
    for copy in alone {
        let _server = copy.start();
        copy.ask();
        let log = copy.prefix.read("logs/error.log");
        assert!(!log.contains("[error]") && !log.contains("[alert]"), "{log}");
    }
}

#[test]
fn php_has_a_front_controller() {
    let copy = Copy::of("php");
    let socket = copy.prefix.path.join("php.sock");
    copy.replace("unix:/run/php/php-fpm.sock", &format!("unix:{}", socket.display()));
    let mut command;
    if let Some(fpm) = program("php-fpm") {
        let pool = format!(
            "[global]\nerror_log = {}\n[www]\nlisten = {}\nlisten.mode = 0666\npm = static\npm.max_children = 2\nuser = root\ngroup = root\n",
            copy.prefix.path.join("logs/php.log").display(),
            socket.display()
        );
        copy.prefix.write("conf/php.conf", &pool);
        command = Command::new(fpm);
        command.args(["-F", "-R", "-y"]).arg(copy.prefix.path.join("conf/php.conf"));
    } else {
        command = Command::new(program("php-cgi").expect("neither php-fpm nor php-cgi; ./test.sh installs them"));
        command.arg("-b").arg(&socket);
    }
    let _php = Server::start(command, &At::Socket(&socket));
    let _server = copy.start();
    copy.ask();
}

#[test]
fn users_are_limited_and_the_service_survives_redis() {
    let copy = Copy::of("rate-limit");
    let port = rig::free_port();
    copy.replace("6379", &port.to_string());
    // A window that ends between two requests would begin to count anew.
    copy.replace("LIMIT, WINDOW = 3, 60", "LIMIT, WINDOW = 3, 100000000");
    let _server = copy.start();
    let request = "GET /api/orders HTTP/1.1\r\nHost: a\r\nX-User: carl\r\nConnection: close\r\n\r\n";
    for _ in 0..5 {
        let answer = rig::parse(&rig::exchange(copy.port(), request.as_bytes()).unwrap()).unwrap();
        assert_eq!((answer.status, answer.header("X-RateLimit-Limit")), (200, None));
    }
    assert!(copy.prefix.read("logs/error.log").contains("no limit for carl: connection refused"));
    let mut command = Command::new(program("redis-server").expect("no redis-server; ./test.sh installs it"));
    command.args(["--bind", "127.0.0.1", "--port", &port.to_string(), "--save", "", "--dir"]).arg(&copy.prefix.path);
    let _redis = Server::start(command, &At::Port(port));
    copy.ask();
}

#[test]
fn keys_and_tokens_are_checked() {
    let copy = Copy::of("api-keys");
    copy.replace("env JWT_SECRET;", "env \"JWT_SECRET=a secret of at least 32 random bytes\";");
    let server = copy.start();
    copy.ask();
    drop(server);
    // Without a secret nothing is good: not even what was signed with an empty one.
    until("the end", || copy.prefix.is_down());
    let copy = Copy::of("api-keys");
    let _server = copy.start();
    let good = copy.requests().into_iter().find(|one| one.response.contains("hello bob")).unwrap();
    let answer = rig::parse(&rig::exchange(copy.port(), good.request.as_bytes()).unwrap()).unwrap();
    assert_eq!(answer.status, 401);
}

#[test]
fn tls_ends_in_front_of_the_application() {
    let copy = Copy::of("tls-proxy");
    let made = Command::new("openssl")
        .args([
            "req",
            "-x509",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:prime256v1",
            "-nodes",
            "-days",
            "30",
            "-subj",
            "/CN=localhost",
        ])
        .args(["-addext", "subjectAltName=DNS:localhost", "-keyout", "conf/key.pem", "-out", "conf/cert.pem"])
        .current_dir(&copy.prefix.path)
        .output()
        .unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    let _server = copy.start();
    copy.ask();
    let url = format!("https://localhost:{}/a?b=1", copy.filled("8443"));
    for version in ["--http1.1", "--http2"] {
        let mut command = Command::new("curl");
        command.args(["-sS", "-i", version, "--cacert", "conf/cert.pem", &url]).current_dir(&copy.prefix.path);
        let output = command.output().expect("no curl; ./test.sh installs it");
        let text = String::from_utf8_lossy(&output.stdout).to_lowercase();
        assert!(
            text.contains("strict-transport-security: max-age=31536000"),
            "{version}: {text}{}",
            String::from_utf8_lossy(&output.stderr)
        );
        assert!(text.ends_with("get /a?b=1 for localhost over https from 127.0.0.1\n"), "{version}: {text}");
    }
}
