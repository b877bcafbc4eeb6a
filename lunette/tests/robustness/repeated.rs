//! Clients that send the same head again and again: each request still gets its own answer.

use crate::rig::{Foreground, Prefix, exchange, free_port};

/// Two names on one port, one of them again on another, so that the same bytes mean different things.
fn server() -> (Prefix, u16, u16, Foreground) {
    let prefix = Prefix::new();
    let (port, other) = (free_port(), free_port());
    prefix.write(
        "conf/nginx.conf",
        &format!(
            "daemon off; worker_processes 1; error_log logs/error.log info;\nevents {{ worker_connections 64; }}\n\
             http {{\n\
             server {{ listen {port}; server_name first; location / {{ return 200 \"first $uri $args $http_x_case\\n\"; }}\n\
             location /body {{ content_by_lua_block {{ ngx.req.read_body() ngx.say(ngx.req.get_body_data()) }} }} }}\n\
             server {{ listen {port}; server_name ~^re(?<tail>\\d+)$; location / {{ return 200 \"regex $tail\\n\"; }} }}\n\
             server {{ listen {other}; location / {{ return 200 \"other\\n\"; }} }} }}\n"
        ),
    );
    let running = Foreground::start(&prefix, port, "").unwrap();
    (prefix, port, other, running)
}

fn bodies(answer: &[u8]) -> Vec<String> {
    let text = String::from_utf8_lossy(answer);
    let parts = text.split("HTTP/1.1 200 OK\r\n").skip(1);
    parts.map(|part| part.split("\r\n\r\n").nth(1).unwrap().trim_end().to_owned()).collect()
}

const CLOSE: &str = "GET /last HTTP/1.1\r\nHost: first\r\nConnection: close\r\n\r\n";

#[test]
fn a_known_head_means_what_it_meant() {
    let (_prefix, port, other, _running) = server();
    let head = "GET /a?b=c HTTP/1.1\r\nHost: first\r\nX-Case: Kept\r\n\r\n";
    for _ in 0..3 {
        let answer = exchange(port, format!("{}{CLOSE}", head.repeat(5)).as_bytes()).unwrap();
        assert_eq!(bodies(&answer), [vec!["first /a b=c Kept"; 5], vec!["first /last"]].concat());
        let answer = exchange(other, format!("{}{CLOSE}", head.repeat(2)).as_bytes()).unwrap();
        assert_eq!(bodies(&answer), ["other"; 3]);
    }
}

#[test]
fn one_byte_makes_another_head() {
    let (_prefix, port, _other, _running) = server();
    let head = |last: char| format!("GET /a?b=c HTTP/1.1\r\nHost: first\r\nX-Case: Kep{last}\r\n\r\n");
    let all: String = ['t', 't', 't', 'u', 't', 'u', 'u', 'u', 't'].map(head).concat();
    let wanted: Vec<String> = "tttutuuut".chars().map(|last| format!("first /a b=c Kep{last}")).collect();
    let answer = bodies(&exchange(port, format!("{all}{CLOSE}").as_bytes()).unwrap());
    assert_eq!(answer[..9], wanted);
}

#[test]
fn bodies_and_captures_come_anew() {
    let (_prefix, port, _other, _running) = server();
    let mut all = String::new();
    for number in 0..6 {
        all += &format!("POST /body HTTP/1.1\r\nHost: first\r\nContent-Length: 2\r\n\r\n{number}!");
    }
    for _ in 0..4 {
        all += "GET /named-by-a-regex HTTP/1.1\r\nHost: re42\r\n\r\n";
    }
    // Lines of Lua's answers come in chunks.
    let answer = exchange(port, format!("{all}{CLOSE}").as_bytes()).unwrap();
    let text = String::from_utf8_lossy(&answer);
    for number in 0..6 {
        assert_eq!(text.matches(&format!("\r\n{number}!\n")).count(), 1, "{text}");
    }
    assert_eq!(text.matches("\r\n\r\nregex 42\n").count(), 4, "{text}");
}

#[test]
fn a_dropped_line_is_said_each_time() {
    let (prefix, port, _other, _running) = server();
    let head = "GET /a HTTP/1.1\r\nHost: first\r\nX(odd: 1\r\nX-Case: b\r\n\r\n";
    let answer = exchange(port, format!("{}{CLOSE}", head.repeat(4)).as_bytes()).unwrap();
    assert_eq!(bodies(&answer).len(), 5);
    assert_eq!(prefix.read("logs/error.log").matches("client sent invalid header line").count(), 4);
}
