//! Upstream servers whose every byte is the test's.

use crate::rig::PATIENCE;
use std::collections::HashMap;
use std::io::Read;
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;

pub(crate) const ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\ndone";

/// How often the servers saw each request.
pub(crate) type Seen = Arc<Mutex<HashMap<String, usize>>>;

pub(crate) fn note(seen: &Seen, path: String) {
    *seen.lock().unwrap().entry(path).or_default() += 1;
}

/// Reads a request with an empty or a one-byte body; its path.
pub(crate) fn read(stream: &mut TcpStream) -> Option<String> {
    let mut bytes = Vec::new();
    let mut byte = [0];
    while !bytes.ends_with(b"\r\n\r\n") {
        stream.read_exact(&mut byte).ok()?;
        bytes.push(byte[0]);
    }
    let head = String::from_utf8(bytes).unwrap();
    if head.starts_with("POST") {
        stream.read_exact(&mut byte).ok()?;
    }
    head.split(' ').nth(1).map(str::to_owned)
}

/// Serves connections until `stop`; `serve` gets each with its number.
pub(crate) fn server(
    port: u16,
    stop: &Arc<AtomicBool>,
    serve: impl Fn(TcpStream, usize) + Send + Sync + 'static,
) -> thread::JoinHandle<()> {
    let listener = TcpListener::bind(("127.0.0.1", port)).unwrap();
    let (stop, serve) = (stop.clone(), Arc::new(serve));
    thread::spawn(move || {
        for number in 0.. {
            let (stream, _) = listener.accept().unwrap();
            if stop.load(Ordering::SeqCst) {
                return;
            }
            stream.set_read_timeout(Some(PATIENCE)).unwrap();
            let serve = serve.clone();
            thread::spawn(move || serve(stream, number));
        }
    })
}
