use std::sync::Arc;

use tls::certificate::{Chain, Key, Pair};
use tls::chooser::CertificateChoice;
use tls::ciphers::{CipherConf, Offer};
use tls::verify::{ClientVerifier, Trust};
use tls::{client, server};
use tokio::net::UnixStream;

use super::*;
use crate::stream::Stream;

fn pair() -> (Stream, Stream) {
    let (one, other) = UnixStream::pair().unwrap();
    (Stream::Unix(one), Stream::Unix(other))
}

fn settings(version: &str) -> (server::Options, client::Settings, Pair) {
    let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    let chain = Chain::from_pem(made.cert.pem().as_bytes()).unwrap();
    let pair = Pair::new(&chain, &Key::from_der(&made.signing_key.serialize_der()).unwrap()).unwrap();
    let offer = Offer::new(&CipherConf { protocols: Some(&[version]), ..CipherConf::default() }).unwrap();
    let mut options = server::Options::new(offer.clone(), vec![pair.clone()]);
    options.store = Some(Arc::new(Store));
    (options, client::Settings::new(client::Options::new(offer)).unwrap(), pair)
}

fn sessions(version: &str) -> (ServerSession, ClientSession) {
    let (server, client, _) = settings(version);
    let server = server::Settings::new(server).unwrap();
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
    let (mut one, mut other) = connected("TLSv1.3").await;
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
    server = Stream::from_parts(socket, transport, parked);
    let mut got = Vec::new();
    server.read(&mut got).await.unwrap();
    server.write_all(&got).await.unwrap();
    let mut answer = Vec::new();
    client.read(&mut answer).await.unwrap();
    assert_eq!(answer, b"ping");
}

#[tokio::test]
async fn a_certificate_is_chosen_when_the_server_asks_and_that_may_take_time() {
    for (version, number) in [("TLSv1.2", 0x0303), ("TLSv1.3", 0x0304)] {
        for (asks, shows) in [(true, true), (true, false), (false, true)] {
            let (mut options, client, own) = settings(version);
            options.clients = asks.then(|| Arc::new(ClientVerifier::new(Arc::new(Trust::new(Vec::new(), 1)), &[])));
            let session = server::Settings::new(options).unwrap().session().unwrap();
            let ((one, other), asked) = (pair(), std::cell::Cell::new(0));
            let client = client_certificate::connect(
                other,
                |asked| client.with_chooser(asked).session(Some("localhost"), None),
                async |version| {
                    tokio::task::yield_now().await;
                    asked.set(asked.get() + 1);
                    assert_eq!(version, number);
                    Ok(CertificateChoice { pairs: if shows { vec![own.clone()] } else { Vec::new() }, cleared: false })
                },
            );
            let (server, client) = tokio::join!(accept(one, session, &[]), client);
            let (server, client) = (server.unwrap(), Stream::Tls(Box::new(client.unwrap())));
            assert_eq!((asked.get(), server.server().unwrap().peer_chain().len()), (u32::from(asks), usize::from(asks && shows)));
            let mut server = Stream::Tls(Box::new(server));
            client_says(client, &mut server).await;
        }
    }
}

async fn client_says(mut client: Stream, server: &mut Stream) {
    client.write_all(b"hello").await.unwrap();
    let mut got = Vec::new();
    server.read(&mut got).await.unwrap();
    assert_eq!(got, b"hello");
}

#[tokio::test]
async fn who_chooses_may_refuse_or_be_left_alone() {
    for gives_up in [false, true] {
        let (mut options, client, _) = settings("TLSv1.3");
        options.clients = Some(Arc::new(ClientVerifier::new(Arc::new(Trust::new(Vec::new(), 1)), &[])));
        let session = server::Settings::new(options).unwrap().session().unwrap();
        let (one, other) = pair();
        let server = tokio::spawn(async move { accept(one, session, &[]).await.map(|_| ()) });
        let (asked, waiting) = tokio::sync::oneshot::channel::<()>();
        let asked = std::cell::RefCell::new(Some(asked));
        let choose = async |_| {
            let _ = asked.take().unwrap().send(());
            if gives_up { std::future::pending().await } else { Err(TlsError::CALLBACK_FAILED) }
        };
        let connecting = client_certificate::connect(other, |asked| client.with_chooser(asked).session(None, None), choose);
        tokio::select! {
            biased;
            failed = connecting => assert_eq!(failed.unwrap_err().to_string(), TlsError::CALLBACK_FAILED.to_string()),
            _ = async { waiting.await.unwrap() }, if gives_up => {}
        }
        assert!(matches!(server.await.unwrap(), Err(HandshakeFailure::Closed)));
    }
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
    assert!(matches!(accept(one, sessions("TLSv1.3").0, &[]).await, Err(HandshakeFailure::Closed)));
}
