//! Peers hear what they did wrong, also where rustls would end the session in silence.
#![allow(clippy::unwrap_used, clippy::panic)]

mod given;

use std::sync::Arc;

use aws_lc_rs::aead::{AES_128_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use given::{Authority, offer, pairs};
use rustls::client::Resumption;
use rustls::crypto::aws_lc_rs::{cipher_suite::TLS13_AES_128_GCM_SHA256, default_provider};
use rustls::pki_types::ServerName;
use rustls::{AlertDescription, ClientConfig, ClientConnection, ConnectionTrafficSecrets, Error, RootCertStore};
use tls::buffer::Buffers;
use tls::server;
use tls::session::ServerSession;

fn server(version: &str, authority: &Authority) -> ServerSession {
    server::Settings::new(server::Options::new(offer(version), pairs(authority, "localhost"))).unwrap().session().unwrap()
}

fn client(authority: &Authority) -> ClientConnection {
    let mut roots = RootCertStore::empty();
    roots.add(authority.der()).unwrap();
    let mut provider = default_provider();
    provider.cipher_suites.retain(|suite| suite.suite() == TLS13_AES_128_GCM_SHA256.suite());
    let builder = ClientConfig::builder_with_provider(Arc::new(provider)).with_safe_default_protocol_versions();
    let mut config = builder.unwrap().with_root_certificates(roots).with_no_client_auth();
    config.resumption = Resumption::disabled();
    config.enable_secret_extraction = true;
    ClientConnection::new(Arc::new(config), ServerName::try_from("localhost").unwrap()).unwrap()
}

/// What the server answers to these bytes, and whether it goes on.
fn answer(server: &mut ServerSession, bytes: &[u8]) -> (Vec<u8>, bool) {
    let mut buffers = Buffers::new();
    buffers.incoming.extend_from_slice(bytes);
    let goes_on = server.receive(&mut buffers, &mut Vec::new()).is_ok();
    (buffers.records.pending().to_vec(), goes_on)
}

/// Lets both talk until the client has nothing more to say.
fn talk(client: &mut ClientConnection, server: &mut ServerSession) -> Result<(), Error> {
    while client.wants_write() {
        let mut said = Vec::new();
        client.write_tls(&mut said).unwrap();
        let (answer, _) = answer(server, &said);
        let mut rest = &answer[..];
        while !rest.is_empty() {
            client.read_tls(&mut rest).unwrap();
            client.process_new_packets()?;
        }
    }
    Ok(())
}

#[test]
fn before_there_are_keys() {
    let authority = Authority::new();
    let empty = [22, 3, 3, 0, 0].repeat(40);
    let interrupted = [&[22, 3, 3, 0, 6, 1, 0, 2, 0, 3, 3][..], &[23, 3, 3, 0, 1, 0]].concat();
    let twice = [20, 3, 3, 0, 2, 1, 1];
    for (bytes, description) in [(&empty[..], 50), (&interrupted, 10), (&twice, 10), (b"GET / HTTP/1.0\r\n\r\n", 10)] {
        for version in ["TLSv1.2", "TLSv1.3"] {
            let mut server = server(version, &authority);
            let (answer, goes_on) = answer(&mut server, bytes);
            assert!(!goes_on && answer.starts_with(&[21, 3]), "{bytes:x?} {answer:x?}");
            assert_eq!(answer.get(5..), Some(&[2, description][..]), "{bytes:x?}");
        }
    }
}

#[test]
fn a_server_without_a_fitting_certificate_fails_the_handshake() {
    let authority = Authority::new();
    let settings = server::Settings::new(server::Options::new(offer("TLSv1.3"), Vec::new())).unwrap();
    let told = talk(&mut client(&authority), &mut settings.session().unwrap());
    assert_eq!(told, Err(Error::AlertReceived(AlertDescription::HandshakeFailure)));
}

#[test]
fn when_a_message_counts_as_misbehaviour() {
    let authority = Authority::new();
    let (mut client, mut server) = (client(&authority), server("TLSv1.3", &authority));
    talk(&mut client, &mut server).unwrap();
    let mut told = Ok(());
    for _ in 0..100 {
        client.refresh_traffic_keys().unwrap();
        told = told.and(talk(&mut client, &mut server));
        if told.is_err() {
            break;
        }
    }
    assert_eq!(told, Err(Error::AlertReceived(AlertDescription::DecodeError)));
}

/// A record with this plaintext, sealed as the client would.
fn sealed(plain: &[u8], number: u64, secrets: &ConnectionTrafficSecrets) -> Vec<u8> {
    let (key, nonce) = key(number, secrets);
    let length = u16::try_from(plain.len() + 16).unwrap().to_be_bytes();
    let header = [23, 3, 3, length[0], length[1]];
    let mut body = plain.to_vec();
    key.seal_in_place_append_tag(nonce, Aad::from(header), &mut body).unwrap();
    [&header[..], &body].concat()
}

fn opened(record: &[u8], number: u64, secrets: &ConnectionTrafficSecrets) -> Vec<u8> {
    let (key, nonce) = key(number, secrets);
    let (header, body) = record.split_at(5);
    let mut body = body.to_vec();
    key.open_in_place(nonce, Aad::from(header), &mut body).unwrap().to_vec()
}

fn key(number: u64, secrets: &ConnectionTrafficSecrets) -> (LessSafeKey, Nonce) {
    let ConnectionTrafficSecrets::Aes128Gcm { key, iv } = secrets else { panic!("another suite") };
    let mut nonce: [u8; 12] = iv.as_ref().try_into().unwrap();
    nonce.iter_mut().rev().zip(number.to_le_bytes()).for_each(|(byte, part)| *byte ^= part);
    let key = LessSafeKey::new(UnboundKey::new(&AES_128_GCM, key.as_ref()).unwrap());
    (key, Nonce::assume_unique_for_key(nonce))
}

#[test]
fn when_a_sealed_record_is_wrong_inside() {
    let authority = Authority::new();
    // No content type; a handshake message in part, and then something else.
    let (none, part): (&[&[u8]], &[&[u8]]) = (&[&[0, 0, 0]], &[&[24, 0, 0, 22], b"x\x17"]);
    for (wrong, description) in [(none, 10), (part, 50)] {
        let (mut client, mut server) = (client(&authority), server("TLSv1.3", &authority));
        talk(&mut client, &mut server).unwrap();
        let secrets = client.dangerous_extract_secrets().unwrap();
        let records: Vec<_> = (secrets.tx.0..).zip(wrong).flat_map(|(number, plain)| sealed(plain, number, &secrets.tx.1)).collect();
        let (answer, goes_on) = answer(&mut server, &records);
        assert!(!goes_on && server.seal(&[], 1, &mut Buffers::new()).is_err());
        assert_eq!(opened(&answer, secrets.rx.0, &secrets.rx.1), [2, description, 21], "{wrong:x?}");
    }
}
