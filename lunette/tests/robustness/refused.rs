//! Requests that are refused before they run, or given up: the answer has no body where the method forbids it, and the log
//! shows the line as it came.

use crate::rig::{Foreground, PATIENCE, Prefix, exchange, free_port, parse, until};
use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};

fn server() -> (Prefix, u16, Foreground) {
    let (prefix, port) = (Prefix::new(), free_port());
    prefix.write(
        "conf/nginx.conf",
        &format!(
            "daemon off; worker_processes 1; events {{ }}\nhttp {{ log_format line '$request|$status'; access_log logs/access.log line;\n\
             client_max_body_size 4; client_header_timeout 1s; server {{ listen 127.0.0.1:{port}; large_client_header_buffers 2 1k;\n\
             location /up {{ return 200 up; }} location / {{ proxy_pass http://127.0.0.1:{port}/up; proxy_request_buffering off; }} }} }}\n"
        ),
    );
    let running = Foreground::start(&prefix, port, "").unwrap();
    (prefix, port, running)
}

#[test]
fn what_is_refused_is_logged_as_it_came_and_a_head_gets_no_body() {
    let (prefix, port, _running) = server();
    let long = format!("X: {}", "a".repeat(3000));
    let table = [
        ("GET / HTTP/2.5\r\nHost: a", 505, "GET / HTTP/2.5"),
        ("GET / HTTP/1.1\r\nHost: a\r\nHost: b", 400, "GET / HTTP/1.1"),
        ("GET / HTTP/1.1\r\nHost: a\r\nb\0: c", 400, "GET / HTTP/1.1"),
        ("GET x HTTP/1.1\r\nHost: a", 400, "GET x HTTP/1.1"),
        ("GET / HTTP/1.1 y\r\nHost: a", 400, "GET / HTTP/1.1 y"),
        ("GET /%00 HTTP/1.1\r\nHost: a", 400, "GET /%00 HTTP/1.1"),
        ("GET / HTTP/1.1\r\nHost: a\r\nLONG", 400, "GET / HTTP/1.1"),
        ("TRACE / HTTP/1.1\r\nHost: a", 405, "TRACE / HTTP/1.1"),
        ("\r\n\r\nhello world foo\r\nx: y", 400, "hello world foo"),
        ("\x16\x03\x01abc", 400, "\\x16\\x03\\x01abc"),
    ];
    for (head, status, line) in table {
        for method in ["GET", "HEAD"] {
            let head = head.replace("GET", method).replace("LONG", &long);
            let answer = parse(&exchange(port, format!("{head}\r\n\r\n").as_bytes()).unwrap()).unwrap();
            assert_eq!(answer.status, status, "{head}");
            assert_eq!(answer.body.is_empty(), head.starts_with("HEAD"), "{head}");
            let line = format!("{}|{status}\n", line.replace("GET", method));
            until("it is logged", || prefix.read("logs/access.log").ends_with(&line));
        }
    }
    let page = exchange(port, format!("GET / HTTP/1.1\r\nHost: a\r\n{long}\r\n\r\n").as_bytes()).unwrap();
    let page = String::from_utf8(page).unwrap();
    assert!(page.contains("<h1>400 Bad Request</h1></center>\r\n<center>Request Header Or Cookie Too Large</center>"), "{page}");
}

#[test]
fn a_head_that_does_not_come_to_its_end_is_logged_as_far_as_it_came() {
    let (prefix, port, _running) = server();
    for (part, line) in [("GE /par", "GE /par|400\n"), ("GET /x HTTP/1.1\r\nHost: a\r\nX", "GET /x HTTP/1.1|400\n")] {
        let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
        stream.write_all(part.as_bytes()).unwrap();
        stream.shutdown(Shutdown::Write).unwrap();
        until("it is logged", || prefix.read("logs/access.log").ends_with(line));
    }
    let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.write_all(b"GET /slow").unwrap();
    assert_eq!(stream.read(&mut [0; 64]).unwrap(), 0);
    until("it is logged", || prefix.read("logs/access.log").ends_with("GET /slow|408\n"));
}

#[test]
fn a_body_counts_also_where_it_came_with_its_head_and_is_not_buffered() {
    let (_prefix, port, _running) = server();
    for (body, status) in [("4\r\nabcd\r\n", 200), ("5\r\nabcde\r\n", 413), ("3\r\nabc\r\n2\r\nde\r\n", 413)] {
        let head = "POST / HTTP/1.1\r\nHost: a\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n";
        let answer = parse(&exchange(port, format!("{head}{body}0\r\n\r\n").as_bytes()).unwrap()).unwrap();
        assert_eq!(answer.status, status, "{body}");
    }
}

#[test]
fn an_answer_without_the_body_that_is_waited_for_says_close() {
    let (_prefix, port, _running) = server();
    let ask = "POST /up HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\n";
    let answer = parse(&exchange(port, ask.as_bytes()).unwrap()).unwrap();
    assert_eq!((answer.status, answer.header("Connection")), (200, Some("close")));
    // Who sends the body at once can go on.
    let both = format!("{ask}abcGET /up HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    let text = String::from_utf8(exchange(port, both.as_bytes()).unwrap()).unwrap();
    assert_eq!((text.matches("HTTP/1.1 200").count(), text.matches("Connection: keep-alive").count()), (2, 1), "{text}");
}
