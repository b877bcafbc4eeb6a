//! What the tests have in common: an authority, and a server and a client joined by a wire.
#![allow(dead_code, clippy::unwrap_used, clippy::panic)]

pub(crate) mod shop;

use std::io::IoSlice;
use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair, KeyUsagePurpose};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tls::buffer::Buffers;
use tls::certificate::{Chain, Key, Pair};
use tls::ciphers::{CipherConf, Offer};
use tls::resume::Slot;
use tls::session::{ClientSession, ServerSession};
use tls::{client, server};

pub(crate) struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    pub(crate) fn new() -> Self {
        Self::named("authority")
    }

    pub(crate) fn named(name: &str) -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        params.distinguished_name.push(rcgen::DnType::CommonName, name);
        Self(CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap())
    }

    pub(crate) fn der(&self) -> CertificateDer<'static> {
        self.0.der().clone()
    }

    /// A certificate and its key for rustls itself.
    pub(crate) fn pair_der(&self, name: &str) -> (CertificateDer<'static>, PrivateKeyDer<'static>) {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        let certificate = params.signed_by(&key, &self.0).unwrap();
        (certificate.der().clone(), PrivateKeyDer::try_from(key.serialize_der()).unwrap())
    }

    pub(crate) fn pair(&self, name: &str) -> Pair {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        let certificate = params.signed_by(&key, &self.0).unwrap();
        let chain = Chain::from_pem(certificate.pem().as_bytes()).unwrap();
        Pair::new(&chain, &Key::from_der(&key.serialize_der()).unwrap()).unwrap()
    }
}

pub(crate) fn pairs(authority: &Authority, name: &str) -> Vec<Pair> {
    vec![authority.pair(name)]
}

pub(crate) fn offer(version: &str) -> Offer {
    Offer::new(&CipherConf { protocols: Some(&[version]), ..CipherConf::default() }).unwrap()
}

/// Two sessions and what stands between them.
#[derive(Debug)]
pub(crate) struct Wire {
    pub(crate) server: ServerSession,
    pub(crate) client: ClientSession,
    pub(crate) buffers: Buffers,
}

type Errors = ((String, String), Wire);

/// Lets a handshake happen, in pieces of `piece` bytes. On errors gives those of the server and of the client.
pub(crate) fn connect(
    server: &server::Settings,
    client: &client::Settings,
    name: Option<&str>,
    slot: Option<Arc<Slot>>,
    piece: usize,
) -> Result<Wire, Box<Errors>> {
    let (server, client) = (server.session().unwrap(), client.session(name, slot).unwrap());
    let mut wire = Wire { server, client, buffers: Buffers::new() };
    let mut errors = (String::new(), String::new());
    for _ in 0..8 {
        let mut none = Vec::new();
        if let Err(error) = wire.client.receive(&mut wire.buffers, &mut none) {
            errors.1 = error.to_string();
        }
        if let Err(error) = pass(&mut wire.buffers, piece, |buffers, plain| wire.server.receive(buffers, plain)) {
            errors.0 = error.to_string();
        }
        if let Err(error) = pass(&mut wire.buffers, piece, |buffers, plain| wire.client.receive(buffers, plain)) {
            errors.1 = error.to_string();
        }
        if let Err(error) = pass(&mut wire.buffers, piece, |buffers, plain| wire.server.receive(buffers, plain)) {
            errors.0 = error.to_string();
        }
        if !errors.0.is_empty() || !errors.1.is_empty() {
            return Err(Box::new((errors, wire)));
        }
        pass(&mut wire.buffers, piece, |buffers, plain| wire.client.receive(buffers, plain)).unwrap();
        if !wire.client.is_handshaking() && !wire.server.is_handshaking() {
            return Ok(wire);
        }
    }
    panic!("no handshake");
}

/// Hands the records that are pending to a session, which may leave records itself.
fn pass<E>(
    buffers: &mut Buffers,
    piece: usize,
    mut receive: impl FnMut(&mut Buffers, &mut Vec<u8>) -> Result<(), E>,
) -> Result<Vec<u8>, E> {
    let mut plain = Vec::new();
    let bytes = buffers.records.pending().to_vec();
    buffers.records.clear();
    for part in bytes.chunks(piece.min(bytes.len().max(1))) {
        buffers.incoming.extend_from_slice(part);
        receive(buffers, &mut plain)?;
    }
    Ok(plain)
}

impl Wire {
    pub(crate) fn client_says(&mut self, pieces: &[&[u8]], piece: usize) -> Vec<u8> {
        let slices: Vec<_> = pieces.iter().map(|piece| IoSlice::new(piece)).collect();
        self.client.seal(&slices, usize::MAX, &mut self.buffers).unwrap();
        self.flush_to_server(piece)
    }

    pub(crate) fn server_says(&mut self, pieces: &[&[u8]], piece: usize) -> Vec<u8> {
        let slices: Vec<_> = pieces.iter().map(|piece| IoSlice::new(piece)).collect();
        self.server.seal(&slices, usize::MAX, &mut self.buffers).unwrap();
        self.flush_to_client(piece)
    }

    pub(crate) fn flush_to_server(&mut self, piece: usize) -> Vec<u8> {
        pass(&mut self.buffers, piece, |buffers, plain| self.server.receive(buffers, plain)).unwrap()
    }

    pub(crate) fn flush_to_client(&mut self, piece: usize) -> Vec<u8> {
        pass(&mut self.buffers, piece, |buffers, plain| self.client.receive(buffers, plain)).unwrap()
    }
}
