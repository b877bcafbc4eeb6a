//! WebSockets of Node behind `proxy_pass`.

use crate::client::pattern;
use crate::rig::{Foreground, PATIENCE, Prefix, free_port, get, until};
use crate::server::{At, Server, program};
use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::process::Command;

const CLIENTS: usize = 8;

fn start() -> (Prefix, u16, Server, Foreground) {
    let prefix = Prefix::new();
    let (port, node) = (free_port(), free_port());
    prefix.write("echo.js", include_str!("node/echo.js"));
    prefix.write(
        "conf/nginx.conf",
        &format!(
            "daemon off; worker_processes 1; error_log logs/error.log info; events {{ worker_connections 256; }}\n\
             http {{ log_format story '$status $upstream_status $upstream_bytes_received'; access_log logs/access.log story;\n\
             map $http_upgrade $connection_upgrade {{ default upgrade; '' ''; }}\n\
             upstream node {{ server 127.0.0.1:{node}; keepalive 4; }}\n\
             server {{ listen 127.0.0.1:{port};\n\
             location / {{ proxy_pass http://node; proxy_http_version 1.1; proxy_set_header Upgrade $http_upgrade;\n\
               proxy_set_header Connection $connection_upgrade; }}\n\
             location /idle {{ proxy_pass http://node; proxy_http_version 1.1; proxy_set_header Upgrade $http_upgrade;\n\
               proxy_set_header Connection $connection_upgrade; proxy_read_timeout 1s; }}\n\
             location /off {{ proxy_pass http://node; }} }} }}\n"
        ),
    );
    let mut command = Command::new(program("node").expect("no node; ./test.sh installs it"));
    command.arg(prefix.path.join("echo.js")).arg(node.to_string());
    let application = Server::start(command, &At::Port(node));
    let server = Foreground::start(&prefix, port, "").unwrap();
    (prefix, port, application, server)
}

/// Asks for a WebSocket, with `behind` in the packet of the request; the head of the answer.
fn open(port: u16, path: &str, header: &str, behind: &[u8]) -> (String, TcpStream) {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let head = format!(
        "GET {path} HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: keep-alive, Upgrade\r\nSec-WebSocket-Version: 13\r\n\
         Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Protocol: chat\r\n{header}\r\n"
    );
    stream.write_all(&[head.as_bytes(), behind].concat()).unwrap();
    let (mut head, mut byte) = (Vec::new(), [0]);
    while !head.ends_with(b"\r\n\r\n") {
        stream.read_exact(&mut byte).unwrap();
        head.push(byte[0]);
    }
    (String::from_utf8(head).unwrap(), stream)
}

/// A frame as clients send it, with a mask.
fn masked(first: u8, payload: &[u8]) -> Vec<u8> {
    const MASK: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];
    let mut bytes = vec![first];
    match payload.len() {
        short @ 0..126 => bytes.push(0x80 | short as u8),
        middle @ 126..65_536 => {
            bytes.push(0x80 | 126);
            bytes.extend_from_slice(&(middle as u16).to_be_bytes());
        }
        long => {
            bytes.push(0x80 | 127);
            bytes.extend_from_slice(&(long as u64).to_be_bytes());
        }
    }
    bytes.extend_from_slice(&MASK);
    bytes.extend(payload.iter().zip(MASK.iter().cycle()).map(|(byte, mask)| byte ^ mask));
    bytes
}

/// Reads a frame of the server: its first byte and its payload.
fn frame(stream: &mut TcpStream) -> (u8, Vec<u8>) {
    let mut head = [0; 2];
    stream.read_exact(&mut head).unwrap();
    let mut size = [0; 8];
    let width = match head[1] {
        127 => 8,
        126 => 2,
        _ => 0,
    };
    stream.read_exact(&mut size[8 - width..]).unwrap();
    let size = if width == 0 { u64::from(head[1]) } else { u64::from_be_bytes(size) };
    let mut payload = vec![0; size as usize];
    stream.read_exact(&mut payload).unwrap();
    (head[0], payload)
}

#[test]
fn messages_of_every_size_go_both_ways() {
    let (prefix, port, _application, _server) = start();
    let clients: Vec<_> = (0..CLIENTS)
        .map(|client| {
            std::thread::spawn(move || {
                let (head, mut stream) = open(port, &format!("/{client}"), "", &masked(0x81, b"early"));
                assert!(head.starts_with("HTTP/1.1 101 ") && head.contains("s3pPLMBiTxaQ9kYGzzhZRbK+xOo="), "{head}");
                assert!(head.contains("Sec-WebSocket-Protocol: chat\r\n") && !head.contains("Transfer-Encoding"), "{head}");
                assert_eq!(frame(&mut stream), (0x81, format!("hello /{client}").into_bytes()));
                assert_eq!(frame(&mut stream), (0x81, b"early".to_vec()));
                for (first, size) in [(0x82, 0), (0x81, 1), (0x82, 125), (0x82, 126), (0x01, 65_535), (0x80, 65_536), (0x82, 1 << 20)] {
                    let payload = pattern(size);
                    // As long as it is written nobody reads: the buffers in between hold only a part.
                    let mut writer = stream.try_clone().unwrap();
                    let bytes = masked(first, &payload);
                    let writes = std::thread::spawn(move || writer.write_all(&bytes).unwrap());
                    let (kind, back) = frame(&mut stream);
                    assert!(kind == first && back == payload, "{first} {size}");
                    writes.join().unwrap();
                }
                stream.write_all(&masked(0x89, b"ping")).unwrap();
                assert_eq!(frame(&mut stream), (0x8a, b"ping".to_vec()));
                stream.write_all(&masked(0x88, &[3, 0xe8])).unwrap();
                assert_eq!(frame(&mut stream), (0x88, vec![3, 0xe8]));
                let mut rest = Vec::new();
                stream.read_to_end(&mut rest).unwrap();
                assert!(rest.is_empty(), "{rest:?}");
            })
        })
        .collect();
    clients.into_iter().for_each(|client| client.join().unwrap());
    until("the access log", || prefix.read("logs/access.log").matches("101 101 ").count() == CLIENTS);
}

#[test]
fn an_upgrade_that_is_refused_or_not_passed_on_is_an_answer_like_others() {
    let (_prefix, port, _application, _server) = start();
    let (head, mut stream) = open(port, "/", "X-Refuse: 1\r\n", b"GET /next HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    assert!(head.starts_with("HTTP/1.1 403 "), "{head}");
    let mut rest = String::new();
    stream.read_to_string(&mut rest).unwrap();
    assert!(rest.starts_with("no\nHTTP/1.1 200 OK\r\n") && rest.contains("plain /next"), "{rest}");
    let (head, _) = open(port, "/off", "", b"");
    assert!(head.starts_with("HTTP/1.1 200 ") && !head.contains("Upgrade"), "{head}");
    assert_eq!(get(port, "/a").unwrap().text(), "plain /a");
}

#[test]
fn an_end_on_either_side_and_silence_end_both() {
    let (prefix, port, application, _server) = start();
    // The client stops sending: Node hears of it and closes.
    let (_, mut stream) = open(port, "/half", "", b"");
    frame(&mut stream);
    stream.shutdown(Shutdown::Write).unwrap();
    assert_eq!(stream.read(&mut [0]).unwrap(), 0);
    // Nobody says anything for longer than `proxy_read_timeout`.
    let (_, mut stream) = open(port, "/idle", "", b"");
    frame(&mut stream);
    assert_eq!(stream.read(&mut [0]).unwrap(), 0);
    until("the log", || {
        prefix.read("logs/error.log").contains("upstream timed out (110: Connection timed out) while proxying upgraded connection")
    });
    // A client that leaves with a message unread resets its connection.
    let (_, stream) = open(port, "/reset", "", b"");
    stream.peek(&mut [0; 2]).unwrap();
    drop(stream);
    until("the log", || {
        prefix.read("logs/error.log").contains("recv() failed (104: Connection reset by peer) while proxying upgraded connection")
    });
    let (_, mut stream) = open(port, "/killed", "", b"");
    frame(&mut stream);
    application.kill();
    assert!(matches!(stream.read(&mut [0]), Ok(0) | Err(_)));
    assert_eq!(get(port, "/a").unwrap().status, 502);
}
