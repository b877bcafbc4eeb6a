//! A server that behaves as it is told, and badly in many ways.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

/// What it does with a request.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Mood {
    /// It answers with this.
    Says(String),
    /// It closes without a word.
    Closes,
    /// It takes the request and says nothing.
    Hangs,
    /// It says a byte now and then of an answer that never ends.
    Drips,
}

impl Mood {
    pub(crate) fn status(status: u16, body: &str) -> Mood {
        Mood::Says(format!("HTTP/1.1 {status} X\r\nX-State: fine\r\nContent-Length: {}\r\n\r\n{body}", body.len()))
    }

    pub(crate) fn good() -> Mood {
        Mood::status(200, "well")
    }
}

pub(crate) struct Backend {
    pub(crate) port: u16,
    mood: Arc<Mutex<Mood>>,
    /// Requests for `/health`.
    pub(crate) checks: Arc<AtomicUsize>,
    /// Other requests.
    pub(crate) requests: Arc<AtomicUsize>,
    /// The head of the last request for `/health`.
    pub(crate) head: Arc<Mutex<String>>,
    /// Connections that were taken.
    pub(crate) connections: Arc<AtomicUsize>,
    stop: Arc<AtomicBool>,
}

impl Drop for Backend {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::SeqCst);
        // It waits for a connection.
        drop(TcpStream::connect(("127.0.0.1", self.port)));
    }
}

impl Backend {
    pub(crate) fn start(mood: Mood) -> Backend {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let backend = Backend {
            port: listener.local_addr().unwrap().port(),
            mood: Arc::new(Mutex::new(mood)),
            checks: Arc::default(),
            requests: Arc::default(),
            head: Arc::default(),
            connections: Arc::default(),
            stop: Arc::default(),
        };
        let (mood, checks, requests, head) = (backend.mood.clone(), backend.checks.clone(), backend.requests.clone(), backend.head.clone());
        let (connections, stop) = (backend.connections.clone(), backend.stop.clone());
        thread::spawn(move || {
            for stream in listener.incoming() {
                if stop.load(Ordering::SeqCst) {
                    return;
                }
                connections.fetch_add(1, Ordering::SeqCst);
                let (mood, checks, requests, head) = (mood.clone(), checks.clone(), requests.clone(), head.clone());
                let stop = stop.clone();
                thread::spawn(move || serve(stream.unwrap(), &mood, &checks, &requests, &head, &stop));
            }
        });
        backend
    }

    pub(crate) fn be(&self, mood: Mood) {
        *self.mood.lock().unwrap() = mood;
    }

    pub(crate) fn checks(&self) -> usize {
        self.checks.load(Ordering::SeqCst)
    }

    pub(crate) fn requests(&self) -> usize {
        self.requests.load(Ordering::SeqCst)
    }
}

fn serve(mut stream: TcpStream, mood: &Mutex<Mood>, checks: &AtomicUsize, requests: &AtomicUsize, head: &Mutex<String>, stop: &AtomicBool) {
    loop {
        let mut seen = Vec::new();
        let mut byte = [0];
        while !seen.ends_with(b"\r\n\r\n") {
            match stream.read(&mut byte) {
                Ok(1) => seen.push(byte[0]),
                _ => return,
            }
        }
        let text = String::from_utf8_lossy(&seen).into_owned();
        if text.split(' ').nth(1).is_some_and(|uri| uri.starts_with("/health")) {
            *head.lock().unwrap() = text;
            checks.fetch_add(1, Ordering::SeqCst);
        } else {
            requests.fetch_add(1, Ordering::SeqCst);
        }
        let now = mood.lock().unwrap().clone();
        let pause = || thread::sleep(Duration::from_millis(20));
        match now {
            Mood::Says(answer) => drop(stream.write_all(answer.as_bytes())),
            Mood::Closes => return,
            Mood::Hangs => {
                while !stop.load(Ordering::SeqCst) && *mood.lock().unwrap() == Mood::Hangs {
                    pause();
                }
                return;
            }
            Mood::Drips => {
                drop(stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n"));
                while !stop.load(Ordering::SeqCst) && *mood.lock().unwrap() == Mood::Drips {
                    if stream.write_all(b"w").is_err() {
                        return;
                    }
                    pause();
                }
                return;
            }
        }
    }
}
