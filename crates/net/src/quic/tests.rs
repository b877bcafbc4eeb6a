//! Endpoints over loopback, with quinn-proto as their client.

use super::*;
use std::future::poll_fn;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tls::certificate::{Chain, Key, Pair};
use tls::ciphers::{CipherConf, Offer};
use tls::quic::HostKey;
use tls::server::{Options, Settings};

mod client;
mod peer;

use client::Client;

fn limits() -> Limits {
    Limits { idle_ms: 10_000, streams: 4, uni: 3, stream_buffer: 4096, ids: 2, segments: true }
}

/// Settings of a server, and the certificate that clients trust.
fn settings() -> (Settings, Vec<u8>) {
    let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    let (chain, key) = (made.cert.pem(), made.signing_key.serialize_pem());
    let chain = Chain::from_pem(chain.as_bytes()).unwrap();
    let pair = Pair::new(&chain, &Key::from_pem(key.as_bytes(), &[]).unwrap()).unwrap();
    let mut options = Options::new(Offer::new(&CipherConf::default()).unwrap(), vec![pair]);
    options.alpn = vec![b"test".to_vec()];
    (Settings::new(options).unwrap(), made.cert.der().to_vec())
}

fn endpoint_at(address: &str) -> (Endpoint, SocketAddr) {
    let socket = UdpSocket::bind(address).unwrap();
    sys::datagram::receive_destination(&socket, address.starts_with('[')).unwrap();
    socket.set_nonblocking(true).unwrap();
    let setup = Setup { key: HostKey::new(b"secret"), socket: 0, process: 1, segments: true, steers: true, proves: true };
    let endpoint = Endpoint::new(OwnedFd::from(socket), setup, std::rc::Rc::new(|_, _| ())).unwrap();
    let address = endpoint.local_address().unwrap();
    (endpoint, address)
}

async fn hello(incoming: &Incoming) -> Vec<u8> {
    poll_fn(|cx| incoming.poll_hello(cx)).await.unwrap()
}

/// Answers each stream with what came on it.
async fn echo(connection: Connection) -> Reason {
    let mut kept: std::collections::HashMap<StreamId, (Vec<u8>, bool)> = std::collections::HashMap::new();
    loop {
        let event = poll_fn(|cx| connection.poll_event(cx)).await;
        let mut touched = Vec::new();
        match event {
            Event::Opened(dir) => touched.extend(std::iter::from_fn(|| connection.accept(dir))),
            Event::Readable(id) | Event::Writable(id) => touched.push(id),
            Event::Closed(reason) => return reason,
            _ => {}
        }
        for id in touched {
            let (bytes, ended) = kept.entry(id).or_default();
            while !*ended {
                match connection.read(id, 65_536, bytes) {
                    Ok(Read::Data(_)) => {}
                    Ok(Read::Blocked) => break,
                    Ok(Read::End(_)) | Err(_) => *ended = true,
                }
            }
            let taken = connection.write(id, bytes).unwrap_or(bytes.len());
            bytes.drain(..taken);
            if *ended && bytes.is_empty() {
                connection.finish(id);
                kept.remove(&id);
            }
        }
    }
}

/// Serves an endpoint by `came` while `client` runs.
fn serve<T>(came: impl Fn(Incoming) + 'static, client: impl AsyncFnOnce(SocketAddr) -> T) -> T {
    serve_at("127.0.0.1:0", came, client)
}

fn serve_at<T>(address: &str, came: impl Fn(Incoming) + 'static, client: impl AsyncFnOnce(SocketAddr) -> T) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build_local(Default::default()).unwrap();
    runtime.block_on(async move {
        let (endpoint, address) = endpoint_at(address);
        let task = tokio::task::spawn_local(async move { endpoint.run(came).await });
        let result = crate::time::timeout(Duration::from_secs(30), client(address)).await.unwrap();
        task.abort();
        result
    })
}

fn accept(incoming: Incoming, settings: &Settings) -> Result<Connection, Rejected> {
    incoming.accept(settings, &Transport::new(&limits()))
}

#[test]
fn streams_go_both_ways() {
    let (settings, trusted) = settings();
    let came = move |incoming| {
        let settings = settings.clone();
        tokio::task::spawn_local(async move {
            let message = hello(&incoming).await;
            assert_eq!(message[0], 1);
            echo(accept(incoming, &settings).unwrap()).await;
        });
    };
    serve(came, async |address| {
        let mut client = Client::connect(address, &trusted, &[b"test"]).await.unwrap();
        let message: Vec<u8> = (0..100_000_u32).map(|number| number as u8).collect();
        assert!(client.exchange(&message).await.unwrap() == message);
        assert_eq!(client.exchange(b"small").await.unwrap(), b"small");
        client.close(7).await;
    });
}

#[test]
fn what_the_client_offers_must_fit() {
    let (settings, trusted) = settings();
    let (told, mut heard) = tokio::sync::mpsc::unbounded_channel();
    let came = move |incoming| {
        let refused = accept(incoming, &settings).unwrap_err();
        told.send(refused.failed.unwrap().error.words().to_owned()).unwrap();
    };
    serve(came, async |address| {
        let error = Client::connect(address, &trusted, &[b"other"]).await.err().unwrap();
        // no_application_protocol
        assert_eq!(error, Some(0x100 + 120));
        assert_eq!(heard.recv().await.unwrap(), "no application protocol");
    });
}

#[test]
fn newcomers_are_asked_to_come_again_or_refused() {
    let (settings, trusted) = settings();
    let count = std::cell::Cell::new(0);
    let came = move |incoming: Incoming| {
        count.set(count.get() + 1);
        match count.get() {
            1 => assert!(!incoming.is_validated() && incoming.retry()),
            2 => {
                assert!(incoming.is_validated());
                tokio::task::spawn_local(echo(accept(incoming, &settings).unwrap()));
            }
            3 => incoming.reject(112),
            _ => incoming.refuse(),
        }
    };
    serve(came, async |address| {
        let mut client = Client::connect(address, &trusted, &[b"test"]).await.unwrap();
        assert_eq!(client.exchange(b"again").await.unwrap(), b"again");
        assert_eq!(Client::connect(address, &trusted, &[b"test"]).await.err(), Some(Some(0x100 + 112)));
        assert_eq!(Client::connect(address, &trusted, &[b"test"]).await.err(), Some(Some(2)));
    });
}

#[test]
fn beginnings_without_an_end_do_not_keep_others_out() {
    let (settings, trusted) = settings();
    let came = move |incoming: Incoming| {
        let settings = settings.clone();
        tokio::task::spawn_local(async move {
            if poll_fn(|cx| incoming.poll_hello(cx)).await.is_ok() {
                echo(accept(incoming, &settings).unwrap()).await;
            }
        });
    };
    serve(came, async |address| {
        for number in 0..2000_u32 {
            let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
            socket.send_to(&peer::beginning(number), address).unwrap();
            if number % 50 == 0 {
                tokio::task::yield_now().await;
            }
        }
        let mut client = Client::connect(address, &trusted, &[b"test"]).await.unwrap();
        assert_eq!(client.exchange(b"here").await.unwrap(), b"here");
    });
}

#[test]
fn answers_come_from_the_address_that_was_asked() {
    for (at, asked) in [("0.0.0.0:0", "127.0.0.2"), ("[::]:0", "127.0.0.3"), ("[::1]:0", "::1")] {
        let (settings, trusted) = settings();
        let (told, mut heard) = tokio::sync::mpsc::unbounded_channel();
        let came = move |incoming: Incoming| {
            told.send(incoming.local().unwrap()).unwrap();
            tokio::task::spawn_local(echo(accept(incoming, &settings).unwrap()));
        };
        serve_at(at, came, async |address| {
            let asked: IpAddr = asked.parse().unwrap();
            let mut client = Client::connect(SocketAddr::new(asked, address.port()), &trusted, &[b"test"]).await.unwrap();
            assert_eq!(client.exchange(b"there").await.unwrap(), b"there");
            assert_eq!(heard.recv().await.unwrap().to_canonical(), asked);
        });
    }
}
