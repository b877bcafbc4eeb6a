//! Requests that a browser would make, and answers that come in parts.

use crate::rig::{PATIENCE, Response, exchange, parse};
use std::io::{Read, Write};
use std::net::TcpStream;

/// A request's bytes; the connection is closed behind the answer.
pub(crate) fn request(method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Vec<u8> {
    let mut text = format!("{method} {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n");
    headers.iter().for_each(|(name, value)| text += &format!("{name}: {value}\r\n"));
    if !body.is_empty() {
        text += &format!("Content-Length: {}\r\n", body.len());
    }
    [text.as_bytes(), b"\r\n", body].concat()
}

/// Sends a request and reads its answer.
pub(crate) fn send(port: u16, method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Response {
    parse(&exchange(port, &request(method, path, headers, body)).unwrap()).unwrap()
}

/// The body of a form with one file.
pub(crate) fn form(boundary: &str, data: &[u8]) -> Vec<u8> {
    let head = format!("--{boundary}\r\nContent-Disposition: form-data; name=\"file\"; filename=\"a.bin\"\r\nContent-Type: a/b\r\n\r\n");
    [head.as_bytes(), data, format!("\r\n--{boundary}--\r\n").as_bytes()].concat()
}

/// Bytes that show it when a part is missing, doubled or moved.
pub(crate) fn pattern(length: usize) -> Vec<u8> {
    (0..).flat_map(u32::to_le_bytes).take(length).collect()
}

/// Reads until `text` has come.
pub(crate) fn read_until(stream: &mut TcpStream, text: &[u8]) {
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let (mut got, mut buffer) = (Vec::new(), [0; 4096]);
    while !got.windows(text.len()).any(|window| window == text) {
        let n = stream.read(&mut buffer).unwrap();
        assert!(n > 0, "the answer ended: {}", String::from_utf8_lossy(&got));
        got.extend_from_slice(&buffer[..n]);
    }
}

/// An answer that waits in its middle: its beginning has to be here before `release` lets it go on.
pub(crate) fn in_parts(port: u16, path: &str, first: &[u8], release: impl FnOnce(), last: &[u8]) {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    stream.write_all(&request("GET", path, &[], b"")).unwrap();
    read_until(&mut stream, first);
    release();
    read_until(&mut stream, last);
}
