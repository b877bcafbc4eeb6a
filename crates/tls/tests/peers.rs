//! Sessions of this crate talk to rustls' own buffered ones, which do what ours never do by themselves.
#![allow(clippy::unwrap_used, reason = "what tests share is a test")]

mod given;

use std::io::{IoSlice, Read, Write};
use std::sync::Arc;

use given::{Authority, offer, pairs};
use rustls::client::Resumption;
use rustls::crypto::aws_lc_rs::default_provider;
use rustls::pki_types::ServerName;
use rustls::server::ServerSessionMemoryCache;
use rustls::{ClientConfig, ClientConnection, RootCertStore, ServerConfig, ServerConnection};
use tls::buffer::Buffers;
use tls::session::{ClientSession, ServerSession};
use tls::{client, server};

fn roots(authority: &Authority) -> RootCertStore {
    let mut roots = RootCertStore::empty();
    roots.add(authority.der()).unwrap();
    roots
}

fn their_client(authority: &Authority) -> ClientConfig {
    let builder = ClientConfig::builder_with_provider(Arc::new(default_provider())).with_safe_default_protocol_versions();
    let mut config = builder.unwrap().with_root_certificates(roots(authority)).with_no_client_auth();
    config.resumption = Resumption::in_memory_sessions(8);
    config
}

/// What the client has to send, given to the server in pieces; what the server answers, given to the client.
fn exchange(client: &mut ClientConnection, server: &mut ServerSession, piece: usize) -> Vec<u8> {
    let (mut buffers, mut plain) = (Buffers::new(), Vec::new());
    for _ in 0..4 {
        let mut sent = Vec::new();
        while client.wants_write() {
            client.write_tls(&mut sent).unwrap();
        }
        for part in sent.chunks(piece) {
            buffers.incoming.extend_from_slice(part);
            server.receive(&mut buffers, &mut plain).unwrap();
            if !server.is_handshaking() {
                server.seal(&[IoSlice::new(b".")], 1, &mut buffers).unwrap();
            }
        }
        let mut answer = buffers.records.pending();
        while !answer.is_empty() {
            client.read_tls(&mut answer).unwrap();
            client.process_new_packets().unwrap();
        }
        buffers.records.clear();
    }
    plain
}

#[test]
fn key_updates_are_taken_and_answered_whole_or_in_pieces() {
    let authority = Authority::new();
    let server = server::Settings::new(server::Options::new(offer("TLSv1.3"), pairs(&authority, "localhost"))).unwrap();
    for piece in [1, 7, 100_000] {
        let mut session = server.session().unwrap();
        let name = ServerName::try_from("localhost").unwrap();
        let mut client = ClientConnection::new(Arc::new(their_client(&authority)), name).unwrap();
        exchange(&mut client, &mut session, piece);
        for _ in 0..3 {
            client.refresh_traffic_keys().unwrap();
            client.writer().write_all(b"after").unwrap();
            assert_eq!(exchange(&mut client, &mut session, piece), b"after");
            assert!(session.can_park());
        }
        let mut dots = Vec::new();
        let _ = client.reader().read_to_end(&mut dots);
        assert!(dots.len() > 3 && dots.iter().all(|byte| *byte == b'.'));
    }
}

#[test]
fn early_data_is_taken_when_it_is_allowed() {
    let authority = Authority::new();
    for allowed in [0, 1000] {
        let mut options = server::Options::new(offer("TLSv1.3"), pairs(&authority, "localhost"));
        options.store = Some(ServerSessionMemoryCache::new(8));
        options.early_data = allowed;
        let server = server::Settings::new(options).unwrap();
        let mut config = their_client(&authority);
        config.enable_early_data = true;
        let config = Arc::new(config);
        for round in 0..2 {
            let name = ServerName::try_from("localhost").unwrap();
            let mut client = ClientConnection::new(config.clone(), name).unwrap();
            let mut session = server.session().unwrap();
            let early = round == 1 && allowed > 0;
            assert_eq!(client.early_data().is_some(), early);
            if let Some(mut data) = client.early_data() {
                data.write_all(b"GET").unwrap();
            }
            let (mut buffers, mut plain) = (Buffers::new(), Vec::new());
            client.write_tls(&mut buffers.incoming).unwrap();
            session.receive(&mut buffers, &mut plain).unwrap();
            assert_eq!((&plain[..], session.is_early()), (if early { &b"GET"[..] } else { b"" }, early));
            let mut answer = buffers.records.pending();
            while !answer.is_empty() {
                client.read_tls(&mut answer).unwrap();
                client.process_new_packets().unwrap();
            }
            exchange(&mut client, &mut session, 100_000);
            assert!(!session.is_handshaking() && !session.is_early());
            assert_eq!(session.is_resumed(), round == 1);
        }
    }
}

#[test]
fn early_data_that_is_not_taken_is_passed_over() {
    let authority = Authority::new();
    let make = |early| {
        let mut options = server::Options::new(offer("TLSv1.3"), pairs(&authority, "localhost"));
        options.store = Some(ServerSessionMemoryCache::new(8));
        options.early_data = early;
        server::Settings::new(options).unwrap()
    };
    let (gives, others) = (make(16_384), [make(16_384), make(0)]);
    for (other, piece) in others.iter().flat_map(|other| [(other, 700), (other, 100_000)]) {
        let mut config = their_client(&authority);
        config.enable_early_data = true;
        let config = Arc::new(config);
        let start = || ClientConnection::new(config.clone(), ServerName::try_from("localhost").unwrap()).unwrap();
        exchange(&mut start(), &mut gives.session().unwrap(), piece);
        let (mut client, mut session) = (start(), other.session().unwrap());
        // Nearly all that a server has to bear, in records of several sizes.
        for size in [1, 5_000, 11_000] {
            client.early_data().unwrap().write_all(&vec![b'e'; size]).unwrap();
        }
        assert_eq!(exchange(&mut client, &mut session, piece), b"");
        client.writer().write_all(b"GET").unwrap();
        assert_eq!(exchange(&mut client, &mut session, piece), b"GET");
        assert!(!client.is_early_data_accepted() && session.can_park());
    }
}

fn feed(client: &mut ClientSession, server: &mut ServerConnection, buffers: &mut Buffers) {
    let mut sent = buffers.records.pending();
    while !sent.is_empty() {
        server.read_tls(&mut sent).unwrap();
        server.process_new_packets().unwrap();
    }
    buffers.records.clear();
    let mut answer = Vec::new();
    while server.wants_write() {
        server.write_tls(&mut answer).unwrap();
    }
    let mut plain = Vec::new();
    for byte in answer {
        buffers.incoming.push(byte);
        client.receive(buffers, &mut plain).unwrap();
        // A message that is not whole yet must survive that something is sent meanwhile.
        client.seal(&[IoSlice::new(b"x")], 1, buffers).unwrap();
    }
}

#[test]
fn a_session_writes_while_a_message_of_the_peer_is_half_there() {
    let authority = Authority::new();
    let pair = authority.pair_der("localhost");
    let builder = ServerConfig::builder_with_provider(Arc::new(default_provider())).with_safe_default_protocol_versions();
    let mut config = builder.unwrap().with_no_client_auth().with_single_cert(vec![pair.0], pair.1).unwrap();
    // Tickets come in several records each.
    config.max_fragment_size = Some(64);
    config.send_tls13_tickets = 3;
    let mut server = ServerConnection::new(Arc::new(config)).unwrap();
    let settings = client::Settings::new(client::Options::new(offer("TLSv1.3"))).unwrap();
    let slot = tls::resume::Slot::new();
    let mut client = settings.session(Some("localhost"), Some(slot.clone())).unwrap();
    let mut buffers = Buffers::new();
    client.receive(&mut buffers, &mut Vec::new()).unwrap();
    for _ in 0..4 {
        feed(&mut client, &mut server, &mut buffers);
    }
    assert!(!client.is_handshaking() && client.can_park() && slot.is_filled());
}

#[test]
fn a_client_hello_in_records_of_one_byte_is_answered() {
    let authority = Authority::new();
    let server = server::Settings::new(server::Options::new(offer("TLSv1.3"), pairs(&authority, "localhost"))).unwrap();
    let settings = client::Settings::new(client::Options::new(offer("TLSv1.3"))).unwrap();
    let mut client = settings.session(Some("localhost"), None).unwrap();
    let mut session = server.session().unwrap();
    let (mut buffers, mut plain) = (Buffers::new(), Vec::new());
    client.receive(&mut buffers, &mut plain).unwrap();
    let hello = buffers.records.pending()[5..].to_vec();
    buffers.records.clear();
    for byte in hello {
        buffers.incoming.extend_from_slice(&[22, 3, 1, 0, 1, byte]);
        session.receive(&mut buffers, &mut plain).unwrap();
    }
    assert!(!buffers.records.is_empty());
    buffers.incoming.extend_from_slice(buffers.records.pending());
    buffers.records.clear();
    client.receive(&mut buffers, &mut plain).unwrap();
    assert!(!client.is_handshaking());
}
