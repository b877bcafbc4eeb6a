//! Sessions of `stream`: limits, logs, the choice by a TLS name, and connections that are passed inside the process.

use crate::rig::{Prefix, exchange, free_port, get, until};
use std::fs::Permissions;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt;

/// A server with this `stream` block and what stands beside it.
fn started(stream: &str, beside: &str) -> Prefix {
    let prefix = Prefix::new();
    let text = format!("error_log logs/error.log info;\nevents {{ }}\nstream {{\n{stream}\n}}\n{beside}\n");
    prefix.write("conf/nginx.conf", &text);
    // Workers that are not root make files there.
    std::fs::set_permissions(prefix.path.join("logs"), Permissions::from_mode(0o777)).unwrap();
    let output = prefix.run(&[]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    prefix
}

fn ask(port: u16, bytes: &[u8]) -> String {
    String::from_utf8(exchange(port, bytes).unwrap()).unwrap()
}

/// A ClientHello that names a server.
fn hello(name: &str) -> Vec<u8> {
    let sized = |content: &[u8]| [&(content.len() as u16).to_be_bytes(), content].concat();
    let list = sized(&[&[0], &sized(name.as_bytes())[..]].concat());
    let extensions = [&[0, 0], &sized(&list)[..]].concat();
    let body = [&[3, 3][..], &[7; 32], &[0], &sized(&[0x13, 1]), &[1, 0], &sized(&extensions)].concat();
    let message = [&[1, 0], &sized(&body)[..]].concat();
    [&[22, 3, 1], &sized(&message)[..]].concat()
}

#[test]
fn a_limit_holds_while_a_session_lasts() {
    let port = free_port();
    // A session lasts as long as it waits for the first bytes.
    let prefix = started(
        &format!(
            "log_format f '$status $limit_conn_status'; access_log logs/sessions.log f;\n\
             limit_conn_zone $binary_remote_addr zone=clients:64k;\n\
             server {{ listen 127.0.0.1:{port}; limit_conn clients 1; ssl_preread on; return done; }}"
        ),
        "",
    );
    let mut first = TcpStream::connect(("127.0.0.1", port)).unwrap();
    until("the first session", || {
        let mut second = TcpStream::connect(("127.0.0.1", port)).unwrap();
        drop(second.write_all(b"hello"));
        let mut answer = String::new();
        drop(second.read_to_string(&mut answer));
        assert!(answer.is_empty() || answer == "done");
        answer.is_empty()
    });
    first.write_all(b"hello").unwrap();
    let mut answer = String::new();
    first.read_to_string(&mut answer).unwrap();
    assert_eq!(answer, "done");
    until("room", || exchange(port, b"hello").is_ok_and(|answer| answer == b"done"));
    until("the log", || {
        let text = prefix.read("logs/sessions.log");
        text.contains("503 REJECTED\n") && text.contains("200 PASSED\n")
    });
    let log = prefix.read("logs/error.log");
    assert!(
        log.contains("limiting connections by zone \"clients\" while initializing session, client: 127.0.0.1, server: 127.0.0.1:"),
        "{log}"
    );
}

#[test]
fn logs_are_written_and_opened_again() {
    let port = free_port();
    let prefix = started(
        &format!(
            "log_format plain escape=none '$remote_addr $bytes_sent'; log_format json escape=json '{{\"said\":\"$said\"}}';\n\
             server {{\n listen 127.0.0.1:{port};\n set $said 'a \"word\"';\n set $name by_$server_port;\n\
             access_log logs/plain.log plain; access_log logs/json.log json; access_log logs/never.log plain if=0;\n\
             access_log logs/buffered.log plain buffer=4k; access_log logs/$name.log plain;\n open_log_file_cache max=10;\n return hello;\n }}"
        ),
        "",
    );
    assert_eq!(ask(port, b""), "hello");
    let named = format!("logs/by_{port}.log");
    until("the lines", || prefix.read("logs/plain.log") == "127.0.0.1 5\n" && !prefix.read(&named).is_empty());
    assert_eq!(prefix.read("logs/json.log"), "{\"said\":\"a \\\"word\\\"\"}\n");
    assert_eq!((prefix.read("logs/never.log"), prefix.read("logs/buffered.log")), (String::new(), String::new()));
    std::fs::rename(prefix.path.join("logs/plain.log"), prefix.path.join("logs/old.log")).unwrap();
    assert!(prefix.run(&["-s", "reopen"]).status.success());
    until("what was gathered", || prefix.read("logs/buffered.log") == "127.0.0.1 5\n");
    until("a new file", || ask(port, b"") == "hello" && prefix.read("logs/plain.log").contains("127.0.0.1 5\n"));
}

#[test]
fn a_name_in_a_hello_chooses_the_server() {
    let port = free_port();
    let prefix = started(
        &format!(
            "ssl_preread on; log_format f '$server_name $ssl_preread_server_name $ssl_preread_protocol'; access_log logs/sessions.log f;\n\
             server {{ listen 127.0.0.1:{port}; server_name one.example; return one; }}\n\
             server {{ listen 127.0.0.1:{port}; server_name *.two.example; return two:$ssl_preread_server_name; }}\n\
             server {{ listen 127.0.0.1:{port}; server_name '~^three(?<n>.)'; return three$n; }}"
        ),
        "",
    );
    let table = [("one.example", "one"), ("A.Two.Example", "two:A.Two.Example"), ("threeX", "threex"), ("other.example", "one")];
    for (name, expected) in table {
        assert_eq!(ask(port, &hello(name)), expected, "{name}");
    }
    assert_eq!(ask(port, b"no hello at all"), "one");
    until("the log", || {
        let text = prefix.read("logs/sessions.log");
        text.contains("*.two.example A.Two.Example TLSv1.2\n") && text.contains("one.example - -\n")
    });
}

#[test]
fn connections_are_passed_inside_the_process() {
    let [direct, twice, circle, nowhere, chosen, web] = std::array::from_fn(|_| free_port());
    let prefix = started(
        &format!(
            "log_format f '$server_port $status'; access_log logs/sessions.log f;\n\
             server {{ listen 127.0.0.1:{direct}; pass 127.0.0.1:{web}; }}\n\
             server {{ listen 127.0.0.1:{twice}; pass 127.0.0.1:{direct}; }}\n\
             server {{ listen 127.0.0.1:{circle}; pass 127.0.0.1:{circle}; }}\n\
             server {{ listen 127.0.0.1:{nowhere}; pass 127.0.0.1:1; }}\n\
             map $ssl_preread_protocol $to {{ '' 127.0.0.1:{web}; default 127.0.0.1:1; }}\n\
             server {{ listen 127.0.0.1:{chosen}; ssl_preread on; pass $to; }}"
        ),
        &format!("http {{ server {{ listen {web}; location / {{ return 200 \"$request_method $server_port $remote_addr\"; }} }} }}"),
    );
    // What was read to choose goes along.
    for port in [direct, twice, chosen] {
        assert_eq!(get(port, "/").unwrap().text(), format!("GET {web} 127.0.0.1"), "{port}");
    }
    for port in [circle, nowhere] {
        assert_eq!(ask(port, b""), "");
    }
    // Who passed a connection on has no line of it.
    until("the log", || {
        let text = prefix.read("logs/sessions.log");
        text.contains(&format!("{circle} 500\n")) && text.contains(&format!("{nowhere} 200\n"))
    });
    let text = prefix.read("logs/sessions.log");
    for port in [direct, twice, chosen] {
        assert!(!text.contains(&format!("{port} ")), "{port}: {text}");
    }
    let log = prefix.read("logs/error.log");
    assert!(log.contains("stream pass cycle while passing connection to port, client: 127.0.0.1, server: "), "{log}");
    assert!(log.contains("port not found for \"127.0.0.1:1\" while passing connection to port"), "{log}");
}

#[test]
fn a_zone_belongs_to_one_protocol() {
    let prefix = Prefix::new();
    let zone = |key: &str| format!("limit_conn_zone {key} zone=clients:64k;");
    let text = |http: &str, stream: &str| format!("events {{ }}\nhttp {{ {http} }}\nstream {{ {stream} }}\n");
    prefix.write("conf/nginx.conf", &text(&zone("$remote_addr"), &zone("$remote_addr")));
    let output = prefix.run(&["-t"]);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(said.contains("the shared memory zone \"clients\" is already declared for a different use"), "{said}");
}
