//! WebSocket, straight and through the proxy.

use crate::copy::Copy;
use crate::rig::PATIENCE;
use std::io::{Read, Write};
use std::net::TcpStream;

#[test]
fn a_web_socket_echoes_straight_and_through_the_proxy() {
    let copy = Copy::of("live");
    let _server = copy.start();
    for path in ["/echo", "/proxied/echo"] {
        let mut stream = TcpStream::connect(("127.0.0.1", copy.port())).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let head = format!(
            "GET {path} HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
             Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
        );
        stream.write_all(head.as_bytes()).unwrap();
        let head = until(&mut stream, b"\r\n\r\n");
        assert!(head.starts_with("HTTP/1.1 101 ") && head.contains("s3pPLMBiTxaQ9kYGzzhZRbK+xOo="), "{path}: {head}");
        // A client's frames are masked; a mask of zeroes changes nothing.
        stream.write_all(b"\x81\x82\0\0\0\0hi").unwrap();
        let mut answer = [0; 14];
        stream.read_exact(&mut answer).unwrap();
        assert_eq!(&answer, b"\x81\x0cyou said: hi", "{path}");
        // Close, with a status.
        stream.write_all(b"\x88\x82\0\0\0\0\x03\xe8").unwrap();
        let mut rest = Vec::new();
        stream.read_to_end(&mut rest).unwrap();
        assert_eq!(rest.first(), Some(&0x88), "{path}: {rest:?}");
    }
}

fn until(stream: &mut TcpStream, end: &[u8]) -> String {
    let mut seen = Vec::new();
    let mut byte = [0];
    while !seen.ends_with(end) {
        stream.read_exact(&mut byte).unwrap();
        seen.push(byte[0]);
    }
    String::from_utf8_lossy(&seen).into_owned()
}
