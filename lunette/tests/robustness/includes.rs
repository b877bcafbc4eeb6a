//! Pages that include others: what they include runs side by side, also while the page itself still comes, and ends with its client.

use crate::raw::{read, server};
use crate::rig::{Foreground, Prefix, free_port, get, until};
use std::collections::HashSet;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex};

/// Paths that were asked for, and those whose connections have ended.
#[derive(Clone, Default)]
struct Requests(Arc<Mutex<(HashSet<String>, HashSet<String>)>>);

impl Requests {
    fn has_come(&self, path: &str) -> bool {
        self.0.lock().unwrap().0.contains(path)
    }

    fn has_ended(&self, path: &str) -> bool {
        self.0.lock().unwrap().1.contains(path)
    }
}

/// Pages and what they include come from one server, which waits where a test says so.
fn start(serve: impl Fn(&mut TcpStream, &str, &Requests) + Send + Sync + 'static) -> (Prefix, u16, Foreground, Requests) {
    let (back, front, seen) = (free_port(), free_port(), Requests::default());
    let to = seen.clone();
    // It ends with the test's process.
    server(back, &Arc::new(AtomicBool::new(false)), move |mut stream, _| {
        let Some(path) = read(&mut stream) else { return };
        to.0.lock().unwrap().0.insert(path.clone());
        serve(&mut stream, &path, &to);
        to.0.lock().unwrap().1.insert(path);
    });
    let prefix = Prefix::new();
    prefix.write("html/page.html", "<!--#include virtual=\"/slow\" -->");
    prefix.write(
        "conf/nginx.conf",
        &format!(
            "daemon off; worker_processes 1; error_log logs/error.log; events {{ }}\n\
             http {{ server {{ listen 127.0.0.1:{front}; default_type text/html; location / {{ proxy_pass http://127.0.0.1:{back}; }}\n\
             location /page {{ ssi on; proxy_pass http://127.0.0.1:{back}; }}\n\
             location = /page.html {{ ssi on; root html; }} }} }}\n"
        ),
    );
    let running = Foreground::start(&prefix, front, "").unwrap();
    (prefix, front, running, seen)
}

fn answer(stream: &mut TcpStream, body: &str) {
    let head = format!("HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", body.len());
    stream.write_all(&[head.as_bytes(), body.as_bytes()].concat()).unwrap();
}

/// `/a` is answered once `/b` is asked for, which the page mentions only when `/a` has been asked for.
#[test]
fn a_page_goes_on_while_what_it_includes_is_under_way() {
    let (_prefix, port, _running, _) = start(|stream, path, seen| match path {
        "/page" => {
            stream
                .write_all(b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nConnection: close\r\n\r\n<!--#include virtual=\"/a\" -->|")
                .unwrap();
            until("the first part to be carried out", || seen.has_come("/a"));
            stream.write_all(b"<!--#include virtual=\"/b\" -->|<!--#include virtual=\"/c\" wait=\"yes\" -->|end").unwrap();
        }
        "/a" => {
            until("the second part to be carried out", || seen.has_come("/b"));
            answer(stream, "a");
        }
        other => answer(stream, other),
    });
    assert_eq!(get(port, "/page").unwrap().text(), "a|/b|/c|end");
}

#[test]
fn what_a_page_includes_ends_with_its_client() {
    for page in ["/page.html", "/page"] {
        let (_prefix, port, _running, seen) = start(|stream, path, seen| match path {
            "/page" => {
                stream
                    .write_all(b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nConnection: close\r\n\r\n<!--#include virtual=\"/slow\" -->")
                    .unwrap();
                until("the end of what is included", || seen.has_ended("/slow"));
            }
            // Until it is left.
            _ => drop(stream.read(&mut [0])),
        });
        let mut client = TcpStream::connect(("127.0.0.1", port)).unwrap();
        client.write_all(format!("GET {page} HTTP/1.1\r\nHost: a\r\n\r\n").as_bytes()).unwrap();
        until("the include", || seen.has_come("/slow"));
        drop(client);
        until("its end", || seen.has_ended("/slow"));
    }
}
