use std::sync::Arc;

use tls::certificate::{Chain, Key, Pair};
use tls::ciphers::{Offer, Wishes};
use tls::{client, server};
use tokio::net::UnixStream;

use super::*;
use crate::stream::Stream;

fn pair() -> (Stream, Stream) {
    let (one, other) = UnixStream::pair().unwrap();
    (Stream::Unix(one), Stream::Unix(other))
}

fn sessions(version: &str) -> (ServerSession, ClientSession) {
    let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    let chain = Chain::from_pem(made.cert.pem().as_bytes()).unwrap();
    let pair = Pair::new(&chain, &Key::from_der(&made.signing_key.serialize_der()).unwrap()).unwrap();
    let offer = Offer::new(&Wishes { protocols: Some(&[version]), ..Wishes::default() }).unwrap();
    let mut options = server::Options::new(offer.clone(), vec![pair]);
    options.store = Some(Arc::new(Store));
    let server = server::Settings::new(options).unwrap();
    let client = client::Settings::new(client::Options::new(offer)).unwrap();
    (server.session().unwrap(), client.session(Some("localhost"), None).unwrap())
}

/// Says that sessions can be kept, so that tickets are sent.
#[derive(Debug)]
struct Store;

impl tls::server::StoresServerSessions for Store {
    fn put(&self, _: Vec<u8>, _: Vec<u8>) -> bool {
        true
    }
    fn get(&self, _: &[u8]) -> Option<Vec<u8>> {
        None
    }
    fn take(&self, _: &[u8]) -> Option<Vec<u8>> {
        None
    }
    fn can_cache(&self) -> bool {
        true
    }
}

async fn connected(version: &str) -> (Stream, Stream) {
    let (one, other) = pair();
    let (server, client) = sessions(version);
    let (server, client) = tokio::join!(accept(one, server, &[]), connect(other, client));
    (Stream::Tls(Box::new(server.unwrap())), Stream::Tls(Box::new(client.unwrap())))
}

#[tokio::test]
async fn much_crosses_in_both_directions_although_sockets_are_full() {
    for version in ["TLSv1.2", "TLSv1.3"] {
        let (mut one, mut other) = connected(version).await;
        let content: Vec<u8> = (0..400_000_u32).flat_map(u32::to_le_bytes).collect();
        let mut got = Vec::new();
        let sending = async {
            one.write_all(&content).await.unwrap();
            one.shutdown().await.unwrap();
        };
        let receiving = async { while other.read(&mut got).await.unwrap() > 0 {} };
        tokio::join!(sending, receiving);
        assert!(got == content);
        assert!(!other.tls().unwrap().is_cut());
        other.write_all(b"after the end").await.unwrap();
        let mut answer = Vec::new();
        one.read(&mut answer).await.unwrap();
        assert_eq!(answer, b"after the end");
        drop(other);
        assert_eq!(one.read(&mut answer).await.unwrap(), 0);
        assert!(one.tls().unwrap().is_cut());
    }
}

#[tokio::test]
async fn a_file_goes_out_sealed() {
    let path = std::env::temp_dir().join(format!("lunette-tls-stream-{}", std::process::id()));
    let content: Vec<u8> = (0..300_000_u32).flat_map(u32::to_le_bytes).collect();
    std::fs::write(&path, &content).unwrap();
    let file = std::fs::File::open(&path).unwrap();
    std::fs::remove_file(&path).unwrap();
    let (one, mut other) = connected("TLSv1.3").await;
    let sending = async {
        let mut offset = 0;
        loop {
            let sent = std::future::poll_fn(|cx| one.poll_send_file(cx, &file, offset, 1 << 20)).await.unwrap();
            if sent == 0 {
                break;
            }
            offset += sent as u64;
        }
        one.shutdown().await.unwrap();
    };
    let mut got = Vec::new();
    let receiving = async { while other.read(&mut got).await.unwrap() > 0 {} };
    tokio::join!(sending, receiving);
    assert!(got == content);
}

#[tokio::test]
async fn tickets_do_not_end_the_silence_and_plaintext_is_kept() {
    let (mut server, mut client) = connected("TLSv1.3").await;
    server.write_all(b"").await.unwrap();
    client.readable().await.unwrap();
    assert!(client.is_quiet() && client.can_park());
    server.write_all(b"x").await.unwrap();
    while client.is_quiet() {
        tokio::task::yield_now().await;
    }
    assert!(!client.can_park());
    client.readable().await.unwrap();
    let mut got = Vec::new();
    assert_eq!((client.read(&mut got).await.unwrap(), &got[..]), (1, &b"x"[..]));
    drop(server);
    client.readable().await.unwrap();
    assert!(!client.is_quiet());
}

#[tokio::test]
async fn a_session_is_parked_and_wakes() {
    let (mut server, mut client) = connected("TLSv1.3").await;
    assert!(server.can_park());
    let transport = server.transport();
    let (socket, parked) = server.into_parts().unwrap();
    client.write_all(b"ping").await.unwrap();
    server = Stream::from_parts(socket, transport, parked).unwrap();
    let mut got = Vec::new();
    server.read(&mut got).await.unwrap();
    server.write_all(&got).await.unwrap();
    let mut answer = Vec::new();
    client.read(&mut answer).await.unwrap();
    assert_eq!(answer, b"ping");
}

#[tokio::test]
async fn handshakes_fail_with_a_reason_on_both_sides() {
    let (one, other) = pair();
    let ((server, _), (_, client)) = (sessions("TLSv1.2"), sessions("TLSv1.3"));
    let (server, client) = tokio::join!(accept(one, server, &[]), connect(other, client));
    assert!(server.unwrap_err().to_string().contains("unsupported protocol"));
    assert!(client.unwrap_err().to_string().contains("alert protocol version"));
    let (one, other) = pair();
    drop(other);
    assert!(matches!(accept(one, sessions("TLSv1.3").0, &[]).await, Err(Failure::Closed)));
}
