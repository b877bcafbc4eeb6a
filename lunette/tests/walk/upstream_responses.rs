//! What an upstream's answer becomes: which of its fields reach the client, who judges conditions and ranges, and what logs say of it.

use crate::rig::{Foreground, PATIENCE, Prefix, free_port, until};
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

/// One exchange: what stands in the location, the client's request behind its target, the upstream's answer, what the client's answer
/// says and what it does not, the first line that the upstream sees, and the line of the access log.
struct Case {
    location: &'static str,
    request: &'static str,
    answer: &'static str,
    says: &'static [&'static str],
    lacks: &'static [&'static str],
    asked: &'static str,
    logged: &'static str,
}

const WHOLE: &str = "HTTP/1.1 200 OK\r\nContent-Length: 10\r\nETag: \"e\"\r\nAccept-Ranges: bytes\r\n\r\n0123456789";

const CASES: &[Case] = &[
    // Fields of the two neighbours that mean something to the client.
    Case {
        location: "",
        request: "GET / HTTP/1.1\r\n",
        answer: "HTTP/1.1 426 Upgrade Required\r\nUpgrade: h2c\r\nTrailer: X-T\r\nContent-Length: 0\r\n\r\n",
        says: &["\r\nUpgrade: h2c\r\n", "\r\nTrailer: X-T\r\n"],
        lacks: &[],
        asked: "GET",
        logged: "426 [] [-] 0 OK",
    },
    // How many bytes came, with the sizes of chunks.
    Case {
        location: "",
        request: "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n",
        answer: "HTTP/1.1 200 OK\r\nServer: x\r\nContent-Length: 0\r\n\r\n",
        says: &["200 OK"],
        lacks: &[],
        asked: "POST",
        logged: "200 [x] [-] 0 OK",
    },
    // A length that leaves as chunks is not said to have left.
    Case {
        location: "add_trailer X-Sum 1;",
        request: "GET / HTTP/1.1\r\n",
        answer: WHOLE,
        says: &["\r\nTransfer-Encoding: chunked\r\n", "\r\nX-Sum: 1\r\n"],
        lacks: &["Content-Length"],
        asked: "GET",
        logged: "200 [] [-] - OK",
    },
    // Conditions are the upstream's to judge, but those of what a cache could keep are judged here, kept or not.
    Case {
        location: "",
        request: "GET / HTTP/1.1\r\nIf-None-Match: \"e\"\r\n",
        answer: WHOLE,
        says: &["200 OK", "0123456789"],
        lacks: &[],
        asked: "GET",
        logged: "200 [] [-] 10 OK",
    },
    Case {
        location: "proxy_cache z; proxy_cache_key $request_id;",
        request: "GET / HTTP/1.1\r\nIf-None-Match: \"e\"\r\n",
        answer: WHOLE,
        says: &["304 Not Modified"],
        lacks: &["0123456789"],
        asked: "GET",
        logged: "304 [] [MISS] - OK",
    },
    Case {
        location: "proxy_cache z; proxy_cache_key $request_id; proxy_cache_valid 1m; proxy_buffering off;",
        request: "GET / HTTP/1.1\r\nIf-Match: \"other\"\r\n",
        answer: WHOLE,
        says: &["412 Precondition Failed"],
        lacks: &["0123456789"],
        asked: "GET",
        logged: "412 [] [MISS] * *",
    },
    // How long the client's copy is may be said (RFC 9110, 8.6); 0 is what servers say that mean no body.
    Case {
        location: "",
        request: "GET / HTTP/1.1\r\nIf-None-Match: \"e\"\r\n",
        answer: "HTTP/1.1 304 Not Modified\r\nContent-Length: 10\r\nETag: \"e\"\r\n\r\n",
        says: &["304 Not Modified", "\r\nContent-Length: 10\r\n"],
        lacks: &[],
        asked: "GET",
        logged: "304 [] [-] 10 OK",
    },
    Case {
        location: "",
        request: "GET / HTTP/1.1\r\nIf-None-Match: \"e\"\r\n",
        answer: "HTTP/1.1 304 Not Modified\r\nContent-Length: 0\r\n\r\n",
        says: &["304 Not Modified"],
        lacks: &["Content-Length"],
        asked: "GET",
        logged: "304 [] [-] * OK",
    },
    // What is on its way is cut into one range alone.
    Case {
        location: "proxy_force_ranges on;",
        request: "GET / HTTP/1.1\r\nRange: bytes=0-1,3-4\r\n",
        answer: WHOLE,
        says: &["200 OK", "0123456789"],
        lacks: &["multipart"],
        asked: "GET",
        logged: "200 [] [-] 10 OK",
    },
    // HEAD is asked as GET wherever a cache was asked first.
    Case {
        location: "proxy_cache z; proxy_cache_key $request_id; proxy_cache_min_uses 2; proxy_method HEAD;",
        request: "HEAD / HTTP/1.1\r\n",
        answer: WHOLE,
        says: &["200 OK"],
        lacks: &["0123456789"],
        asked: "GET",
        logged: "200 [] [MISS] 10 OK",
    },
    Case {
        location: "",
        request: "GET / HTTP/1.1\r\n",
        answer: "HTTP/1.1 200 OK\r\nStatus: 1\r\nStatus: 2\r\nContent-Length: 0\r\n\r\n",
        says: &["\r\nStatus: 1\r\n"],
        lacks: &["Status: 2"],
        asked: "GET",
        logged: "200 [] [-] 0 OK",
    },
];

/// Answers each connection with the answer whose number its target begins with, and keeps the heads.
fn upstream() -> (u16, Arc<Mutex<Vec<String>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let heads = Arc::new(Mutex::new(Vec::new()));
    let kept = heads.clone();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let Ok(mut stream) = stream else { return };
            stream.set_read_timeout(Some(PATIENCE)).unwrap();
            let mut head = Vec::new();
            let mut byte = [0];
            while !head.ends_with(b"\r\n\r\n") && stream.read(&mut byte).is_ok_and(|n| n > 0) {
                head.push(byte[0]);
            }
            let head = String::from_utf8_lossy(&head).into_owned();
            let number = head.split('/').nth(1).and_then(|rest| rest.split(' ').next()).and_then(|number| number.parse::<usize>().ok());
            // Who has the answer looks at what was asked.
            kept.lock().unwrap().push(head);
            if let Some(case) = number.and_then(|number| CASES.get(number)) {
                let _ = stream.write_all(case.answer.as_bytes());
            }
        }
    });
    (port, heads)
}

fn ask(port: u16, request: &str) -> String {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = Vec::new();
    // A connection that is reset has answered all the same.
    let _ = stream.read_to_end(&mut answer);
    String::from_utf8_lossy(&answer).into_owned()
}

/// Whether a line is what is expected of it, whose words `*` stand for any.
fn is_like(line: &str, expected: &str) -> bool {
    let (words, wanted): (Vec<_>, Vec<_>) = (line.split(' ').collect(), expected.split(' ').collect());
    words.len() == wanted.len() && words.iter().zip(&wanted).all(|(word, wanted)| *wanted == "*" || word == wanted)
}

#[test]
fn fields_conditions_and_logs() {
    let (prefix, port) = (Prefix::new(), free_port());
    let (behind, heads) = upstream();
    let locations: String = CASES
        .iter()
        .enumerate()
        .map(|(number, case)| format!("location = /{number} {{ proxy_pass http://127.0.0.1:{behind}; {} }}\n", case.location))
        .collect();
    prefix.write(
        "conf/nginx.conf",
        &format!(
            "daemon off; error_log logs/error.log warn;\nevents {{ }}\nhttp {{\n\
             log_format seen '$status [$upstream_http_server] [$upstream_cache_status] $sent_http_content_length $request_completion';\n\
             log_format size $request_length; access_log logs/access.log seen; access_log logs/size.log size;\n\
             proxy_cache_path cache keys_zone=z:1m;\nserver {{ listen 127.0.0.1:{port};\n{locations} }} }}\n"
        ),
    );
    let _running = Foreground::start(&prefix, port, "").unwrap();
    let log = || prefix.read("logs/access.log");
    let before = log().lines().count();
    for (number, case) in CASES.iter().enumerate() {
        let body = if case.request.contains("chunked") { "3\r\nabc\r\n0\r\n\r\n" } else { "" };
        let request = format!("{}Host: a\r\nConnection: close\r\n\r\n{body}", case.request.replacen('/', &format!("/{number}"), 1));
        let answer = ask(port, &request);
        for text in case.says {
            assert!(answer.contains(text), "{number}: {text:?} is missing in {answer}");
        }
        for text in case.lacks {
            assert!(!answer.contains(text), "{number}: {text:?} is in {answer}");
        }
        until("a line of the log", || log().lines().count() > before + number);
        let line = log().lines().last().unwrap().to_owned();
        assert!(is_like(&line, case.logged), "{number}: {line}");
        let asked = heads.lock().unwrap().last().cloned().unwrap_or_default();
        assert!(asked.starts_with(&format!("{} ", case.asked)), "{number}: {asked}");
        if !body.is_empty() {
            let size = prefix.read("logs/size.log").lines().last().unwrap().to_owned();
            assert_eq!(size, request.len().to_string());
        }
    }
    let error = "upstream sent duplicate header line: \"Status: 2\", previous value: \"Status: 1\", ignored while reading";
    assert!(prefix.read("logs/error.log").contains(error), "{}", prefix.read("logs/error.log"));
}

/// A body has two pages of memory and that of the head; what is larger than a quarter more goes to a file.
#[test]
fn a_long_body_is_in_a_file() {
    let (prefix, port) = (Prefix::new(), free_port());
    let (behind, _heads) = upstream();
    prefix.write(
        "conf/nginx.conf",
        &format!(
            "daemon off; error_log logs/error.log;\nevents {{ }}\nhttp {{ access_log off; server {{ listen 127.0.0.1:{port};\n\
             location / {{ proxy_pass http://127.0.0.1:{behind}/0; add_header X-File $request_body_file always; }} }} }}\n"
        ),
    );
    let _running = Foreground::start(&prefix, port, "").unwrap();
    for (length, in_file) in [(10_000, false), (11_000, false), (12_000, true)] {
        let answer = ask(port, &format!("POST / HTTP/1.0\r\nContent-Length: {length}\r\n\r\n{}", "b".repeat(length)));
        assert_eq!(answer.contains("\r\nX-File: "), in_file, "{length}: {answer}");
    }
}

/// What was only looked at stays unread: a session that answers without reading has received nothing.
#[test]
fn bytes_that_were_looked_at_are_not_received() {
    let (prefix, port, passing) = (Prefix::new(), free_port(), free_port());
    let (behind, _heads) = upstream();
    prefix.write(
        "conf/nginx.conf",
        &format!(
            "daemon off; error_log logs/error.log;\nevents {{ }}\nstream {{ log_format seen '$server_port $bytes_received';\n\
             access_log logs/access.log seen; ssl_preread on;\n\
             server {{ listen 127.0.0.1:{port}; return said; }}\n\
             server {{ listen 127.0.0.1:{passing}; proxy_pass 127.0.0.1:{behind}; }} }}\n"
        ),
    );
    let _running = Foreground::start(&prefix, port, "").unwrap();
    let request = "GET /0 HTTP/1.0\r\n\r\n";
    for (port, received) in [(port, 0), (passing, request.len())] {
        ask(port, request);
        let line = format!("{port} {received}\n");
        until("a line of the log", || prefix.read("logs/access.log").contains(&line));
    }
}

/// A log for debugging shows what a server is asked, as nginx's does.
#[test]
fn a_debug_log_shows_the_head_that_is_sent() {
    let (prefix, port) = (Prefix::new(), free_port());
    let (behind, heads) = upstream();
    prefix.write(
        "conf/nginx.conf",
        &format!(
            "daemon off; error_log logs/error.log debug;\nevents {{ }}\nhttp {{ access_log off; server {{ listen 127.0.0.1:{port};\n\
             location / {{ proxy_pass http://127.0.0.1:{behind}; proxy_set_header X-Word $arg_word; }} }} }}\n"
        ),
    );
    let _running = Foreground::start(&prefix, port, "").unwrap();
    ask(port, "GET /0?word=w HTTP/1.0\r\n\r\n");
    let head = heads.lock().unwrap().last().cloned().unwrap();
    assert!(head.contains("\r\nX-Word: w\r\n"), "{head}");
    let log = prefix.read("logs/error.log");
    assert!(log.contains(&format!(" http proxy header:\n\"{head}\"")), "{log}");
}

/// What a header filter sets still decides whether an answer is kept.
#[test]
fn code_that_sees_the_head_may_keep_an_answer_out_of_the_cache() {
    let (prefix, port) = (Prefix::new(), free_port());
    let (behind, _heads) = upstream();
    let whole = CASES.iter().position(|case| case.answer == WHOLE).unwrap();
    prefix.write(
        "conf/nginx.conf",
        &format!(
            "daemon off; error_log logs/error.log;\nevents {{ }}\nhttp {{ access_log off; proxy_cache_path cache keys_zone=z:1m;\n\
             server {{ listen 127.0.0.1:{port};\nlocation = /kept {{ set $skip 0; proxy_pass http://127.0.0.1:{behind}/{whole}; proxy_cache z; proxy_cache_key k;\n\
             proxy_cache_valid 1m; proxy_no_cache $skip; add_header X-Cache $upstream_cache_status;\n\
             header_filter_by_lua_block {{ ngx.var.skip = ngx.var.http_x_skip }} }} }} }}\n"
        ),
    );
    let _running = Foreground::start(&prefix, port, "").unwrap();
    for (skip, status) in [(1, "MISS"), (1, "MISS"), (0, "MISS"), (0, "HIT")] {
        let answer = ask(port, &format!("GET /kept HTTP/1.0\r\nX-Skip: {skip}\r\n\r\n"));
        assert!(answer.contains(&format!("\r\nX-Cache: {status}\r\n")), "{skip}: {answer}");
    }
}
