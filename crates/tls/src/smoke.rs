//! The fuzz targets' invariants, checked with a small deterministic mutator for machines without a fuzzer.

use std::io::IoSlice;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::server::ProducesTickets as _;

use crate::buffer::Buffers;
use crate::certificate::{Chain, Key, Pair};
use crate::ciphers::{CipherConf, Offer};
use crate::tickets::{Context, TicketKey, TicketKeys, Tickets};
use crate::{check, client, server};

fn fuzz(seeds: &[Vec<u8>], rounds: usize, check: fn(&[u8])) {
    base::mutation::fuzz(seeds, b"", rounds, check);
}

fn authority(name: &str) -> CertifiedIssuer<'static, KeyPair> {
    let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(1));
    params.distinguished_name.push(rcgen::DnType::CommonName, name);
    CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
}

#[test]
fn chains() {
    let (root, key) = (authority("root"), KeyPair::generate().unwrap());
    let mut params = CertificateParams::new(vec!["example.com".to_owned(), "127.0.0.1".to_owned()]).unwrap();
    params.extended_key_usages = vec![rcgen::ExtendedKeyUsagePurpose::ClientAuth];
    let leaf = params.signed_by(&key, &root).unwrap();
    let (root, leaf) = (root.der().to_vec(), leaf.der().to_vec());
    let seeds = [[&leaf[..], &root].concat(), [&root[..], &root].concat(), [&leaf[..], &root, &leaf].concat()];
    fuzz(&seeds, 1500, check::chain);
}

#[test]
fn pem() {
    let (root, key) = (authority("root"), KeyPair::generate().unwrap());
    let encrypted = "-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: AES-128-CBC,00112233445566778899AABBCCDDEEFF\n\n\
        AAECAwQFBgcICQoLDA0ODw==\n-----END RSA PRIVATE KEY-----\n";
    fuzz(&[root.pem().into_bytes(), key.serialize_pem().into_bytes(), encrypted.into()], 1000, check::pem);
}

/// The bytes that each side sends first.
fn flights() -> Vec<Vec<u8>> {
    let made = authority("example.com");
    let pair = Pair::new(&Chain::from_pem(made.pem().as_bytes()).unwrap(), &Key::from_der(&made.key().serialize_der()).unwrap()).unwrap();
    let mut flights = Vec::new();
    for version in ["TLSv1.2", "TLSv1.3"] {
        let offer = Offer::new(&CipherConf { protocols: Some(&[version]), ..CipherConf::default() }).unwrap();
        let mut client = client::Settings::new(client::Options::new(offer.clone())).unwrap().session(None, None).unwrap();
        let mut server = server::Settings::new(server::Options::new(offer, vec![pair.clone()])).unwrap().session().unwrap();
        let (mut buffers, mut plain) = (Buffers::new(), Vec::new());
        client.receive(&mut buffers, &mut plain).unwrap();
        let hello = buffers.records.pending().to_vec();
        buffers.records.clear();
        buffers.incoming.extend_from_slice(&hello);
        server.receive(&mut buffers, &mut plain).unwrap();
        assert_eq!(server.seal(&[IoSlice::new(b"early")], 5, &mut buffers).is_ok(), server.is_handshaking());
        flights.extend([hello, buffers.records.pending().to_vec()]);
    }
    flights
}

#[test]
fn sessions() {
    fuzz(&flights(), 1500, check::session);
}

#[test]
fn handshakes() {
    let seeds: Vec<Vec<u8>> = (0..12).map(|choice| vec![choice, 0, 9, 1, 7]).collect();
    // A message in place of another whose length is wrong, and more of no length behind it.
    check::handshake(&[&[0x54, 0, 8, 2][..], &[0; 33], &[0x14]].concat());
    fuzz(&seeds, 3000, check::handshake);
}

#[test]
fn ocsp() {
    let certificate = authority("root").der().to_vec();
    let length = u16::try_from(certificate.len()).unwrap().to_be_bytes();
    let basic = [0x30, 3, 0x0a, 1, 0, 0xa0, 0x0f, 0x30, 0x0d, 0x06, 9, 0x2b, 6, 1, 5, 5, 7, 0x30, 1, 1, 4, 0];
    let answers = [&[0x30, 3, 0x0a, 1, 6][..], &basic, &certificate];
    let seeds = answers.map(|answer| [&length[..], &certificate, answer].concat());
    fuzz(&seeds, 3000, check::ocsp);
}

#[test]
fn tickets_and_kept_sessions() {
    let keys = TicketKeys::new(vec![TicketKey::from_bytes(&[9; 80]).unwrap()]);
    let sealed = Tickets::new(keys, Context::new([&b"here"[..]]), 300).encrypt(b"session").unwrap();
    fuzz(&[Vec::new(), b"session".to_vec(), sealed], 1000, check::ticket);
    let context = *Context::new([&b"here"[..]]).bytes();
    // What rustls keeps of a session of TLS 1.2 begins with its version and suite.
    let session = [&[0, 3, 3, 0xc0, 0x2b, 1, 0, 48][..], &[5; 48], &[0; 40]].concat();
    fuzz(&[Vec::new(), session.clone(), [&context[..], &[0; 8], &session].concat()], 300, check::restore);
}
