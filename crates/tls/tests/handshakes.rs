//! Servers and clients of this crate talk to each other in memory.
#![allow(clippy::unwrap_used, reason = "what tests share is a test")]

mod given;

use std::collections::HashMap;
use std::io::IoSlice;
use std::sync::{Arc, Mutex};

use given::{Authority, Wire, connect, offer, pairs};
use tls::buffer::Buffers;
use tls::resume::Slot;
use tls::store::{Bytes, SessionKey, Sessions};
use tls::tickets::{Context, TicketKey, TicketKeys, Tickets};
use tls::verify::{ClientVerifier, ServerVerifier, Trust};
use tls::{client, server};

fn both(server: &server::Settings, client: &client::Settings, slot: Option<Arc<Slot>>) -> Wire {
    connect(server, client, Some("localhost"), slot, usize::MAX).unwrap()
}

#[test]
fn bytes_cross_in_both_versions_and_in_pieces_of_any_size() {
    let authority = Authority::new();
    for version in ["TLSv1.2", "TLSv1.3"] {
        for piece in [usize::MAX, 1, 5, 100] {
            let server = server::Settings::new(server::Options::new(offer(version), pairs(&authority, "localhost"))).unwrap();
            let client = client::Settings::new(client::Options::new(offer(version))).unwrap();
            let mut wire = connect(&server, &client, Some("localhost"), None, piece).unwrap();
            assert_eq!((wire.server.protocol(), wire.client.protocol()), (Some(version), Some(version)));
            let long = vec![7; 100_000];
            for text in [&b"hello"[..], &long] {
                assert_eq!(wire.client_says(&[text], piece.max(50)), text);
                assert_eq!(wire.server_says(&[text], piece.max(50)), text);
            }
            assert!(wire.server.can_park() && wire.client.can_park());
            assert!(wire.server.cipher().is_some() && wire.server.group().is_some());
            wire.client.close(&mut wire.buffers);
            wire.flush_to_server(usize::MAX);
            assert!(wire.server.is_peer_closed() && !wire.server.can_park());
        }
    }
}

#[test]
fn small_pieces_share_records_and_large_ones_are_not_gathered() {
    let authority = Authority::new();
    let server = server::Settings::new(server::Options::new(offer("TLSv1.3"), pairs(&authority, "localhost"))).unwrap();
    let client = client::Settings::new(client::Options::new(offer("TLSv1.3"))).unwrap();
    let mut wire = both(&server, &client, None);
    let (small, large) = (vec![1; 100], vec![2; 40_000]);
    let pieces: Vec<&[u8]> = std::iter::repeat_n(&small[..], 50).chain([&large[..], &small[..]]).collect();
    let slices: Vec<_> = pieces.iter().map(|piece| IoSlice::new(piece)).collect();
    let taken = wire.server.seal(&slices, usize::MAX, &mut wire.buffers).unwrap();
    assert_eq!(taken, 45_100);
    let mut records = 0;
    let mut rest = wire.buffers.records.pending();
    while let [_, _, _, high, low, ..] = rest {
        rest = &rest[5 + usize::from(u16::from_be_bytes([*high, *low]))..];
        records += 1;
    }
    assert!(rest.is_empty() && records == 3, "{records}");
    assert_eq!(wire.flush_to_client(usize::MAX), pieces.concat());
    assert_eq!(wire.server.seal(&slices, 250, &mut wire.buffers).unwrap(), 250);
    assert_eq!(wire.flush_to_client(usize::MAX).len(), 250);
}

#[test]
fn clients_are_asked_for_certificates_and_the_handshake_goes_on_with_bad_ones() {
    let (authority, other) = (Authority::new(), Authority::named("other"));
    for version in ["TLSv1.2", "TLSv1.3"] {
        let trust = Arc::new(Trust::new(vec![authority.der()], 1));
        let mut options = server::Options::new(offer(version), pairs(&authority, "localhost"));
        options.clients = Some(Arc::new(ClientVerifier::new(trust, &[authority.der()])));
        let server = server::Settings::new(options).unwrap();
        for (pair, code) in [(None, None), (Some(authority.pair("me")), Some(0)), (Some(other.pair("me")), Some(21))] {
            let mut options = client::Options::new(offer(version));
            options.pair = pair;
            options.servers = Some(Arc::new(ServerVerifier::new(Arc::new(Trust::new(vec![authority.der()], 1)))));
            let client = client::Settings::new(options).unwrap();
            let mut wire = both(&server, &client, None);
            assert_eq!(wire.client_says(&[b"x"], usize::MAX), b"x");
            assert_eq!(wire.server.verdict().map(|verdict| verdict.code), code, "{version}");
            assert_eq!(wire.client.verdict(Some("localhost")).unwrap().code, 0);
            assert_eq!(wire.client.verdict(Some("elsewhere")).unwrap().code, 62);
        }
    }
}

#[test]
fn errors_are_told_to_the_peer_and_stay() {
    let authority = Authority::new();
    let server = server::Settings::new(server::Options::new(offer("TLSv1.2"), pairs(&authority, "localhost"))).unwrap();
    let client = client::Settings::new(client::Options::new(offer("TLSv1.3"))).unwrap();
    let (errors, _) = *connect(&server, &client, None, None, usize::MAX).unwrap_err();
    assert!(errors.0.contains("unsupported protocol"), "{errors:?}");
    assert!(errors.1.contains("SSL alert number 70"), "{errors:?}");

    let mut session = server.session().unwrap();
    let mut buffers = Buffers::new();
    for _ in 0..2 {
        buffers.incoming.extend_from_slice(b"GET / HTTP/1.0\r\n\r\n");
        let error = session.receive(&mut buffers, &mut Vec::new()).unwrap_err();
        assert!(error.is_ordinary(), "{error}");
    }
    assert!(session.seal(&[IoSlice::new(b"x")], 1, &mut buffers).is_err());
}

#[test]
fn clients_resume() {
    let authority = Authority::new();
    for version in ["TLSv1.2", "TLSv1.3"] {
        let mut options = server::Options::new(offer(version), pairs(&authority, "localhost"));
        options.store = Some(rustls::server::ServerSessionMemoryCache::new(16));
        let server = server::Settings::new(options).unwrap();
        let client = client::Settings::new(client::Options::new(offer(version))).unwrap();
        let (slot, stranger) = (Slot::new(), Slot::new());
        for resumed in [false, true, true] {
            let mut wire = both(&server, &client, Some(slot.clone()));
            assert_eq!(wire.server_says(&[b"x"], usize::MAX), b"x");
            assert_eq!((wire.server.is_resumed(), wire.client.is_resumed()), (resumed, resumed), "{version}");
            assert!(slot.is_filled());
        }
        assert!(!both(&server, &client, Some(stranger)).client.is_resumed());
    }
}

/// Sessions in memory.
#[derive(Default)]
struct Memory(Mutex<HashMap<SessionKey, Vec<u8>>>);

impl Bytes for Memory {
    fn put(&self, key: &SessionKey, _: &[u8], value: &[u8]) -> bool {
        self.0.lock().unwrap().insert(*key, value.to_vec());
        true
    }
    fn get(&self, key: &SessionKey, _: &[u8]) -> Option<Vec<u8>> {
        self.0.lock().unwrap().get(key).cloned()
    }
    fn take(&self, key: &SessionKey, _: &[u8]) -> Option<Vec<u8>> {
        self.0.lock().unwrap().remove(key)
    }
}

#[test]
fn sessions_are_resumed_by_ticket_and_by_identifier_in_their_own_context_only() {
    let authority = Authority::new();
    let memory = Arc::new(Memory::default());
    let keys = TicketKeys::new(vec![TicketKey::from_bytes(&TicketKey::random().unwrap()).unwrap()]);
    for (version, by_ticket) in [("TLSv1.2", true), ("TLSv1.2", false), ("TLSv1.3", true), ("TLSv1.3", false)] {
        // Two workers have their own settings each; a neighbour has the same keys and store, and another context.
        let settings = |context: &[u8]| {
            let context = Context::new([context]);
            let mut options = server::Options::new(offer(version), pairs(&authority, "localhost"));
            options.clients = Some(Arc::new(ClientVerifier::new(Arc::new(Trust::new(vec![authority.der()], 1)), &[])));
            if by_ticket {
                options.tickets = Some(Tickets::new(keys.clone(), context, 300));
            } else {
                options.store = Some(Sessions::new(memory.clone(), context));
            }
            server::Settings::new(options).unwrap()
        };
        let (worker, second, neighbour) = (settings(b"one"), settings(b"one"), settings(b"two"));
        let mut options = client::Options::new(offer(version));
        options.pair = Some(authority.pair("me"));
        let client = client::Settings::new(options).unwrap();
        let slot = Slot::new();
        for (server, resumed) in [(&worker, false), (&second, true), (&neighbour, false), (&worker, false), (&worker, true)] {
            let mut wire = both(server, &client, Some(slot.clone()));
            assert_eq!(wire.server_says(&[b"x"], usize::MAX), b"x");
            assert_eq!(wire.server.is_resumed(), resumed, "{version} {by_ticket}");
            // Who the client is stays known.
            assert_eq!(wire.server.verdict().map(|verdict| verdict.code), Some(0));
        }
    }
}

#[test]
fn both_ends_know_how_they_signed_and_export_once() {
    const ECDSA: Option<u16> = Some(0x0403);
    let authority = Authority::new();
    for version in ["TLSv1.2", "TLSv1.3"] {
        for shows in [false, true] {
            let mut options = server::Options::new(offer(version), pairs(&authority, "localhost"));
            options.clients = Some(Arc::new(ClientVerifier::new(Arc::new(Trust::new(vec![authority.der()], 1)), &[])));
            let mut own = client::Options::new(offer(version));
            own.pair = shows.then(|| authority.pair("client"));
            let mut wire = both(&server::Settings::new(options).unwrap(), &client::Settings::new(own).unwrap(), None);
            let signed = wire.server.signed();
            assert_eq!((signed.local, signed.peer), (ECDSA, ECDSA.filter(|_| shows)), "{version}");
            assert_eq!(tls::signatures::name_of_number(0x0403), Some("ecdsa_secp256r1_sha256"));
            let exporters = [wire.server.take_exporter(), wire.server.take_exporter()];
            assert_eq!(exporters.map(|exporter| exporter.is_some()), [true, false]);
        }
    }
}
