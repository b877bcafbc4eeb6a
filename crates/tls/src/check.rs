//! The invariants that fuzz targets and the smoke tests assert.
//!
//! They panic when an invariant breaks; nothing that ships calls them.

use std::sync::Arc;

use rustls::pki_types::CertificateDer;
use rustls::server::ProducesTickets as _;

use crate::buffer::Buffers;
use crate::certificate::{Chain, Key, Pair, certificates, passwords};
use crate::ciphers::{CipherConf, Offer};
use crate::client;
use crate::handshake_store::HandshakeStore;
use crate::names::Certificate;
use crate::server;
use crate::store::{Bytes, SessionKey, Sessions};
use crate::tickets::{Context, TicketKey, TicketKeys, Tickets};
use crate::verify::crl::Crl;
use crate::verify::{ClientVerifier, ServerVerifier, Trust};

/// Certificates in a row, the last of which is trusted: a judgement is made, and a good one only when the trusted one is
/// the first's issuer by name or itself. What a certificate says can be shown.
pub fn chain(data: &[u8]) {
    let Ok(chain) = Chain::from_der(data) else { return };
    let chain = chain.certificates();
    for certificate in chain {
        inspect(certificate);
    }
    let Some((trusted, given)) = chain.split_last().filter(|(_, given)| !given.is_empty()) else { return };
    let trust = Arc::new(Trust::new(vec![trusted.clone()], 4));
    let found = ClientVerifier::new(trust.clone(), std::slice::from_ref(trusted)).verify(given);
    let server = ServerVerifier::new(trust).verify(given, Some("example.com"));
    for verdict in found.into_iter().chain([server]) {
        assert!(verdict.is_ok() == (verdict.text() == "ok"));
        if verdict.is_ok() {
            let issuers: Vec<_> = given.iter().filter_map(Certificate::new).map(|shown| shown.issuer()).collect();
            let anchor = Certificate::new(trusted).map(|shown| shown.subject()).unwrap_or_default();
            assert!(issuers.contains(&anchor));
        }
    }
}

fn inspect(certificate: &CertificateDer<'_>) {
    let Some(shown) = Certificate::new(certificate) else { return };
    for text in [shown.subject(), shown.issuer(), shown.subject_legacy(), shown.issuer_legacy(), shown.serial(), shown.start()] {
        assert!(text.bytes().all(|byte| matches!(byte, b' '..=b'~')), "{text:?}");
    }
    assert!(shown.remaining_days(0) >= 0 && !shown.is_for(""));
}

/// Text in PEM as every kind of thing.
pub fn pem(data: &[u8]) {
    let _ = (Chain::from_pem(data), Key::from_pem(data, &passwords(b"one\ntwo")), Crl::from_pem(data));
    for certificate in certificates(data).unwrap_or_default() {
        inspect(&certificate);
    }
}

/// Bytes from the network at the start of a session of either side: an error, or more is wanted; whatever it is, the
/// session stays usable as far as its methods go.
pub fn session(data: &[u8]) {
    let Ok(offer) = Offer::new(&CipherConf::default()) else { return };
    let (Ok(server), Ok(client)) =
        (server::Settings::new(server::Options::new(offer.clone(), Vec::new())), client::Settings::new(client::Options::new(offer)))
    else {
        return;
    };
    let (Ok(mut server), Ok(mut client)) = (server.session(), client.session(Some("example.com"), None)) else { return };
    let (mut buffers, mut plain) = (Buffers::new(), Vec::new());
    for part in data.chunks(data.len().div_ceil(3).max(1)) {
        buffers.incoming.extend_from_slice(part);
        let first = server.receive(&mut buffers, &mut plain);
        let sealed = server.seal(&[std::io::IoSlice::new(b"x")], 1, &mut buffers);
        assert!(sealed.is_ok_and(|count| count == 0) || first.is_err());
        buffers.incoming.extend_from_slice(part);
        let _ = client.receive(&mut buffers, &mut plain);
        client.close(&mut buffers);
        assert!(plain.is_empty() && buffers.incoming.is_empty());
        buffers.records.clear();
    }
}

/// A certificate that is its own issuer, behind its length in two bytes, then an OCSP answer: what is believed with a
/// signature is believed without one too.
pub fn ocsp(data: &[u8]) {
    let Some((length, rest)) = data.split_first_chunk() else { return };
    let Some((certificate, answer)) = rest.split_at_checked(usize::from(u16::from_be_bytes(*length))) else { return };
    let certificate = CertificateDer::from(certificate);
    let verify_with = |verify| crate::ocsp::verify(answer, &certificate, &certificate, verify, 1_800_000_000);
    let (verified, unverified) = (verify_with(true), verify_with(false));
    assert!(verified.is_err() || verified == unverified);
    let _ = (crate::ocsp::responder(&certificate), crate::ocsp::request(&certificate, &certificate));
}

/// A ticket: what was not sealed with our keys is not opened, and what was is opened as it was, in its own context only.
pub fn ticket(data: &[u8]) {
    let keys = TicketKeys::new([48, 80].iter().filter_map(|length| TicketKey::from_bytes(&vec![7; *length])).collect());
    let of = |name: &[u8]| Tickets::new(keys.clone(), Context::new([name]), 300);
    let (here, there) = (of(b"here"), of(b"there"));
    assert!(here.decrypt(data).is_none());
    let Some(mut sealed) = here.encrypt(data) else { return };
    assert!(here.decrypt(&sealed).as_deref() == Some(data) && there.decrypt(&sealed).is_none());
    let place = data.first().map_or(0, |byte| usize::from(*byte) % sealed.len());
    if let Some(byte) = sealed.get_mut(place) {
        *byte ^= 1;
    }
    assert!(here.decrypt(&sealed).is_none());
}

/// A store in which the same lies under every name.
struct Same(Vec<u8>);

impl Bytes for Same {
    fn put(&self, _: &SessionKey, _: &[u8], _: &[u8]) -> bool {
        true
    }

    fn get(&self, _: &SessionKey, _: &[u8]) -> Option<Vec<u8>> {
        Some(self.0.clone())
    }

    fn take(&self, _: &SessionKey, _: &[u8]) -> Option<Vec<u8>> {
        Some(self.0.clone())
    }
}

/// A pair for servers that have to have one.
const PAIR: &str = "-----BEGIN CERTIFICATE-----
MIIBfTCCASKgAwIBAgIBATAKBggqhkjOPQQDAjAeMRwwGgYDVQQDDBNiYWNrZW5k
LmV4YW1wbGUuY29tMCAXDTIwMDEwMTAwMDAwMFoYDzIxMjAwMTAxMDAwMDAwWjAe
MRwwGgYDVQQDDBNiYWNrZW5kLmV4YW1wbGUuY29tMFkwEwYHKoZIzj0CAQYIKoZI
zj0DAQcDQgAE2upogJEhyVA9CJyKvT1HBJvbTkJYpg4qRFAaZNp4yo2Lm9KHfjjQ
RZAoD5rpurYZLyIJDeO5LcQcCdx0P0Ga8KNPME0wDAYDVR0TBAUwAwEB/zAeBgNV
HREEFzAVghNiYWNrZW5kLmV4YW1wbGUuY29tMB0GA1UdDgQWBBTZVGs6i5MR15UY
BBMo125vjKq8LDAKBggqhkjOPQQDAgNJADBGAiEA/FkwrJJlSsTqdUSKnruWnByw
ujcCLIKi+RXlwnk9i8ECIQCxc8dn+dzqrx87RAxhkfPGi8DQnzpI+R91BKUR6gda
QQ==
-----END CERTIFICATE-----
-----BEGIN PRIVATE KEY-----
MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgPedMMFsR18FLc8pu
hhkHNMKdXaT21LsTTmRGLT+v8nehRANCAATa6miAkSHJUD0InIq9PUcEm9tOQlim
DipEUBpk2njKjYub0od+ONBFkCgPmum6thkvIgkN47ktxBwJ3HQ/QZrw
-----END PRIVATE KEY-----";

/// What a server finds where it keeps sessions, its own or those of code: a client that shows a name gets a handshake all the same.
pub fn restore(data: &[u8]) {
    let context = Context::new([&b"here"[..]]);
    let handed = HandshakeStore::new(context, 300, None);
    assert!(!handed.provide(data) || data.starts_with(context.bytes()));
    let offer = |version: &[&str]| Offer::new(&CipherConf { protocols: Some(version), ..CipherConf::default() });
    let (Ok(old), Ok(both)) = (offer(&["TLSv1.2"]), offer(&["TLSv1.2", "TLSv1.3"])) else { return };
    let (Ok(chain), Ok(key)) = (Chain::from_pem(PAIR.as_bytes()), Key::from_pem(PAIR.as_bytes(), &[])) else { return };
    let Ok(pair) = Pair::new(&chain, &key) else { return };
    let mut options = server::Options::new(old, vec![pair]);
    options.store = Some(Sessions::new(Arc::new(Same(data.to_vec())), context));
    let (Ok(server), Ok(client)) = (server::Settings::new(options), client::Settings::new(client::Options::new(both))) else { return };
    let (Ok(mut server), Ok(mut client)) = (server.session(), client.session(Some("example.com"), None)) else { return };
    let (mut buffers, mut plain) = (Buffers::new(), Vec::new());
    let sent = client.receive(&mut buffers, &mut plain).is_ok();
    buffers.incoming.extend_from_slice(buffers.records.pending());
    buffers.records.clear();
    assert!(sent && server.receive(&mut buffers, &mut plain).is_ok() && !buffers.records.is_empty());
}

/// What both ends of a handshake are made from.
fn ends(version: &str) -> Option<(server::Settings, client::Settings)> {
    let offer = Offer::new(&CipherConf { protocols: Some(&[version]), ..CipherConf::default() }).ok()?;
    let pair = Pair::new(&Chain::from_pem(PAIR.as_bytes()).ok()?, &Key::from_pem(PAIR.as_bytes(), &[]).ok()?).ok()?;
    let server = server::Settings::new(server::Options::new(offer.clone(), vec![pair])).ok()?;
    Some((server, client::Settings::new(client::Options::new(offer)).ok()?))
}

/// A handshake, one flight of which is changed on its way. The first byte says in which version and which flight, and whether it
/// comes in two parts; then come a place in two bytes, how many bytes are taken out there, and what is put in.
pub fn handshake(data: &[u8]) {
    let [choice, high, low, gone, put @ ..] = data else { return };
    // More can be too many messages to be dropped before an alert.
    let put = put.get(..200).unwrap_or(put);
    let Some((server, client)) = ends(if choice & 1 == 0 { "TLSv1.2" } else { "TLSv1.3" }) else { return };
    let (Ok(mut server), Ok(mut client)) = (server.session(), client.session(Some("example.com"), None)) else { return };
    let mut buffers = Buffers::new();
    if client.receive(&mut buffers, &mut Vec::new()).is_err() {
        return;
    }
    for flight in 0..6 {
        let mut sent = buffers.records.pending().to_vec();
        buffers.records.clear();
        if flight == choice >> 1 & 7 {
            let place = usize::from(u16::from_be_bytes([*high, *low])).min(sent.len());
            let end = (place + usize::from(*gone)).min(sent.len());
            sent.splice(place..end, put.iter().copied());
        }
        let half = if choice & 0x80 == 0 { 0 } else { sent.len() / 2 };
        for part in [sent.get(..half), sent.get(half..)].into_iter().flatten() {
            let alive = if flight % 2 == 0 { feed(&mut server, part, &mut buffers) } else { feed(&mut client, part, &mut buffers) };
            if !alive {
                return;
            }
        }
    }
}

/// Gives bytes to a session. Whatever it is that goes wrong, the peer hears of it, once, unless it said so itself.
fn feed<E: crate::engine::Engine>(session: &mut crate::session::Session<E>, bytes: &[u8], buffers: &mut Buffers) -> bool {
    let mut plain = Vec::new();
    buffers.incoming.extend_from_slice(bytes);
    let error = session.receive(buffers, &mut plain).err();
    assert!(buffers.incoming.is_empty());
    let mut kinds = Vec::new();
    let mut rest = buffers.records.pending();
    while let [kind, 3, _, high, low, behind @ ..] = rest {
        kinds.push(*kind);
        rest = behind.get(usize::from(u16::from_be_bytes([*high, *low]))..).unwrap_or(&[0]);
    }
    assert!(rest.is_empty(), "{kinds:?}");
    let Some(error) = error else { return true };
    assert!(error.alert.is_some() || matches!(kinds.last(), Some(21 | 23)), "{error}: {kinds:?}");
    let said = buffers.records.pending().len();
    assert!(session.receive(buffers, &mut plain).is_err() && session.seal(&[], 0, buffers).is_err());
    assert!(buffers.records.pending().len() == said);
    false
}
