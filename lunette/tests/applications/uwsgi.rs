//! Python behind uWSGI, spoken to in uwsgi and in SCGI.

use crate::client::{in_parts, pattern, send};
use crate::rig::{Foreground, Prefix, free_port, get};
use crate::server::{At, Server, program};
use std::process::Command;

fn start() -> (Prefix, u16, Server, Foreground) {
    let prefix = Prefix::new();
    let (port, socket) = (free_port(), prefix.path.join("uwsgi.sock"));
    prefix.write("app.py", include_str!("python/app.py"));
    let scgi = free_port();
    let configuration = include_str!("python/nginx.conf").replace("$PORT", &port.to_string()).replace("$SCGI", &scgi.to_string());
    prefix.write("conf/nginx.conf", &configuration.replace("$SOCKET", &socket.display().to_string()));
    let mut command = Command::new(program("uwsgi").expect("no uwsgi; ./test.sh installs it"));
    command.args(["--plugin", "python3", "--need-app", "--threads", "2", "--chmod-socket=666", "--buffer-size", "65535"]);
    command.arg("--socket").arg(&socket).arg("--scgi-socket").arg(format!("127.0.0.1:{scgi}"));
    command.arg("--wsgi-file").arg(prefix.path.join("app.py")).env("GATE", prefix.path.join("gate"));
    let application = Server::start(command, &At::Socket(&socket));
    let server = Foreground::start(&prefix, port, "").unwrap();
    (prefix, port, application, server)
}

#[test]
fn variables_statuses_and_bodies_in_both_protocols() {
    let (_prefix, port, _application, _server) = start();
    for way in ["uwsgi", "scgi"] {
        let answer = get(port, &format!("/{way}/env?a=b%20c")).unwrap();
        assert_eq!(answer.text(), format!("GET /{way}/env a=b%20c localhost\n"));
        let missing = get(port, &format!("/{way}/nothing")).unwrap();
        assert_eq!((missing.status, missing.header("X-Made")), (404, Some("here")), "{way}");
        for path in ["echo", "streamed/echo"] {
            let data = pattern(if path == "echo" { 3 << 20 } else { 100_000 });
            let answer = send(port, "POST", &format!("/{way}/{path}"), &[], &data);
            assert!(answer.status == 200 && answer.body == data, "{way} {path}");
        }
        let long = "x".repeat(3000);
        let cookies = [("Cookie", "a=b"), ("X-Long", long.as_str()), ("Cookie", "c=d")];
        assert_eq!(send(port, "GET", &format!("/{way}/cookie"), &cookies, b"").text(), "a=b; c=d 3000\n");
    }
}

#[test]
fn an_answer_that_is_made_bit_by_bit_arrives_so() {
    let (prefix, port, _application, _server) = start();
    let gate = prefix.path.join("gate");
    in_parts(port, "/uwsgi/slow", b"first", || std::fs::write(&gate, "").unwrap(), b"second");
}
