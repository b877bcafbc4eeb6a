//! The handshake of a QUIC connection (RFC 9001): its messages come without records, and its keys are handed out.

use std::fmt;
use std::sync::Arc;

use aws_lc_rs::aead::{AES_128_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use aws_lc_rs::hkdf::{HKDF_SHA256, Prk, Salt};
use aws_lc_rs::hmac;
use rustls::quic::ServerConnection;
pub use rustls::quic::{DirectionalKeys, HeaderProtectionKey, KeyChange, Keys, PacketKey, PacketKeySet, Secrets, Suite, Version};

use crate::error::TlsError;
use crate::exporter::ExporterSource;
use crate::server::Settings;
use crate::session::Established;
use crate::signatures::{self, Signed};

/// `internal_error` (RFC 8446, 6.2).
const INTERNAL_ERROR: u8 = 80;

/// A server's side of such a handshake.
pub struct QuicSession {
    engine: ServerConnection,
    settings: Settings,
    signed: Signed,
    exporter: ExporterSource,
}

/// A failed handshake: the client's alert, and the log message.
#[derive(Debug, Clone)]
pub struct Failed {
    /// The number of the alert.
    pub alert: u8,
    /// What is wrong.
    pub error: TlsError,
}

impl fmt::Display for Failed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.error.fmt(f)
    }
}

impl std::error::Error for Failed {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.error)
    }
}

impl QuicSession {
    /// A handshake that has seen no byte yet; `parameters` are the transport's, as they go over the wire.
    ///
    /// # Errors
    /// The settings do not allow TLS 1.3.
    pub fn new(settings: &Settings, version: Version, parameters: Vec<u8>) -> Result<Self, TlsError> {
        let engine = ServerConnection::new(settings.quic_config(), version, parameters)?;
        Ok(Self { engine, settings: settings.clone(), signed: Signed::default(), exporter: ExporterSource::default() })
    }

    /// Takes the next bytes of the client's messages.
    ///
    /// # Errors
    /// What the client did wrong, or that it cannot be served.
    pub fn read(&mut self, bytes: &[u8]) -> Result<(), Failed> {
        let result = self.engine.read_hs(bytes);
        let Signed { local: own, peer } = signatures::take();
        (self.signed.local, self.signed.peer) = (own.or(self.signed.local), peer.or(self.signed.peer));
        // What the handshake writes says something of TLS 1.2 alone.
        self.exporter.observe(&[], &self.engine);
        result.map_err(|error| Failed { alert: self.engine.alert().map_or(INTERNAL_ERROR, u8::from), error: error.into() })
    }

    /// Appends the next messages of ours to `out`; keys are for what comes behind them.
    pub fn write(&mut self, out: &mut Vec<u8>) -> Option<KeyChange> {
        let change = self.engine.write_hs(out);
        let Signed { local: own, .. } = signatures::take();
        self.signed.local = own.or(self.signed.local);
        // What the handshake writes says something of TLS 1.2 alone.
        self.exporter.observe(&[], &self.engine);
        change
    }

    /// The client's parameters of the transport.
    #[must_use]
    pub fn parameters(&self) -> Option<&[u8]> {
        self.engine.quic_transport_parameters()
    }

    /// The keys of early data, if the client sends any and it is taken.
    #[must_use]
    pub fn early_keys(&self) -> Option<DirectionalKeys> {
        self.engine.zero_rtt_keys()
    }

    /// Whether the handshake is not over yet.
    #[must_use]
    pub fn is_handshaking(&self) -> bool {
        self.engine.is_handshaking()
    }

    /// The protocol that was chosen by ALPN.
    #[must_use]
    pub fn alpn(&self) -> Option<&[u8]> {
        self.engine.alpn_protocol()
    }

    /// What has been found so far.
    #[must_use]
    pub fn established(&self) -> Established {
        let chain = self.engine.peer_certificates().unwrap_or_default();
        let verdict = self.settings.clients().filter(|_| !self.is_handshaking()).and_then(|clients| clients.verify(chain));
        let mut found = Established::of(&self.engine);
        (found.exporter, found.verdict) = (self.exporter.made.clone(), verdict);
        if !found.resumed {
            found.signed = self.signed;
        }
        found
    }

    /// Key material that both ends can derive (RFC 8446, 7.5).
    pub fn export(&self, length: usize, label: &[u8], context: &[u8]) -> Option<Vec<u8>> {
        self.exporter.made.as_ref()?.export(length, label, Some(context))
    }
}

/// The suite of Initial packets.
#[must_use]
pub(crate) fn initial_suite() -> Option<Suite> {
    rustls::crypto::aws_lc_rs::cipher_suite::TLS13_AES_128_GCM_SHA256.tls13()?.quic_suite()
}

/// The keys of Initial packets, which follow from the connection ID that the client chose.
#[must_use]
pub fn initial_keys(version: Version, id: &[u8]) -> Option<Keys> {
    Some(initial_suite()?.keys(id, rustls::Side::Server, version))
}

/// The tag of a Retry packet (RFC 9001, 5.8); `packet` is the pseudo-packet.
#[must_use]
pub fn retry_tag(packet: &[u8]) -> [u8; 16] {
    const KEY: [u8; 16] = [0xbe, 0x0c, 0x69, 0x0b, 0x9f, 0x66, 0x57, 0x5a, 0x1d, 0x76, 0x6b, 0x54, 0xe3, 0x68, 0xc8, 0x4e];
    const NONCE: [u8; 12] = [0x46, 0x15, 0x99, 0xd3, 0x5d, 0x63, 0x2b, 0xf2, 0x23, 0x98, 0x25, 0xbb];
    let sealed = UnboundKey::new(&AES_128_GCM, &KEY).and_then(|key| {
        let nonce = Nonce::assume_unique_for_key(NONCE);
        LessSafeKey::new(key).seal_in_place_separate_tag(nonce, Aad::from(packet), &mut [])
    });
    sealed.ok().and_then(|tag| tag.as_ref().try_into().ok()).unwrap_or_default()
}

/// The secrets by which workers recognise what they gave to clients, all from one.
#[derive(Clone)]
pub struct HostKey {
    reset: hmac::Key,
    token: Arc<Prk>,
    names: hmac::Key,
    ids: u64,
}

impl HostKey {
    /// Secrets from a key.
    #[must_use]
    pub fn new(key: &[u8]) -> Self {
        let prk = Salt::new(HKDF_SHA256, b"lunette_quic").extract(key);
        let derive = |label: &[u8]| {
            let mut out = [0; 32];
            // The length is that of the hash, which is always allowed.
            let _ = prk.expand(&[label], HKDF_SHA256).and_then(|okm| okm.fill(&mut out));
            out
        };
        let ids = derive(b"ids").first_chunk().map_or(0, |first| u64::from_le_bytes(*first));
        Self {
            reset: hmac::Key::new(hmac::HMAC_SHA256, &derive(b"sr_token_key")),
            token: Arc::new(Salt::new(HKDF_SHA256, &[]).extract(&derive(b"av_token_key"))),
            names: hmac::Key::new(hmac::HMAC_SHA256, &derive(b"names")),
            ids,
        }
    }

    /// What tokens of stateless resets are made with.
    #[must_use]
    pub fn reset(&self) -> hmac::Key {
        self.reset.clone()
    }

    /// What tokens of validated addresses are sealed with.
    #[must_use]
    pub fn token(&self) -> Arc<Prk> {
        self.token.clone()
    }

    /// A value that only holders of the key can compute.
    #[must_use]
    pub fn name(&self, of: &[u8]) -> [u8; 16] {
        hmac::sign(&self.names, of).as_ref().first_chunk().copied().unwrap_or_default()
    }

    /// What hides the worker in connection IDs.
    #[must_use]
    pub fn ids(&self) -> u64 {
        self.ids
    }
}

impl fmt::Debug for HostKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HostKey").finish_non_exhaustive()
    }
}

/// Fills `bytes` with random bytes of the provider.
pub fn fill_random(bytes: &mut [u8]) {
    // The system's source does not fail once it is there, and what it left would still be rejected by who looks for collisions.
    let _ = aws_lc_rs::rand::fill(bytes);
}
