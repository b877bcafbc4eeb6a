//! TLS as the state machine of QUIC wants it.

use std::any::Any;
use std::io::Cursor;
use std::sync::{Arc, OnceLock};

use quinn_proto::crypto::{self, ExportKeyingMaterialError, HeaderKey, KeyPair, PacketKey, UnsupportedVersion};
use quinn_proto::transport_parameters::TransportParameters;
use quinn_proto::{ConnectionId, Side, TransportError, TransportErrorCode};
use tls::quic::{Failed, KeyChange, Keys, QuicSession, Secrets, Version};
use tls::server::Settings;
use tls::session::Established;

use super::parameters;

/// The only version that is spoken (RFC 9000).
pub(super) const VERSION: u32 = 1;

/// `internal_error` (RFC 8446, 6.2).
const INTERNAL_ERROR: u8 = 80;

/// How a client's handshake is answered.
pub(super) enum Answer {
    /// By these settings.
    Settings(Box<Settings>),
    /// By closing the connection with a code.
    Code(TransportErrorCode),
}

/// What handshakes are answered with.
pub(super) struct Crypto {
    pub(super) answer: Answer,
    /// `active_connection_id_limit` as the client is told.
    pub(super) ids: u64,
    /// Why it failed, if it did.
    pub(super) failed: Arc<OnceLock<Failed>>,
}

impl Crypto {
    /// For what comes before a handshake.
    pub(super) fn nobody() -> Self {
        Self::refusing(TransportErrorCode::crypto(INTERNAL_ERROR))
    }

    /// Answers nothing but a code.
    pub(super) fn refusing(code: TransportErrorCode) -> Self {
        Self { answer: Answer::Code(code), ids: 2, failed: Arc::default() }
    }
}

impl crypto::ServerConfig for Crypto {
    fn initial_keys(&self, version: u32, id: &ConnectionId) -> Result<crypto::Keys, UnsupportedVersion> {
        if version != VERSION {
            return Err(UnsupportedVersion);
        }
        initial(id).ok_or(UnsupportedVersion)
    }

    fn retry_tag(&self, _: u32, id: &ConnectionId, packet: &[u8]) -> [u8; 16] {
        let length = u8::try_from(id.len()).unwrap_or_default();
        tls::quic::retry_tag(&[&[length], &id[..], packet].concat())
    }

    fn start_session(self: Arc<Self>, _: u32, parameters: &TransportParameters) -> Box<dyn crypto::Session> {
        let mut bytes = Vec::new();
        parameters.write(&mut bytes);
        let bytes = parameters::with_id_limit(&bytes, self.ids);
        let (tls, code) = match &self.answer {
            Answer::Settings(settings) => match QuicSession::new(settings, Version::V1, bytes) {
                Ok(session) => (Some(session), TransportErrorCode::crypto(INTERNAL_ERROR)),
                Err(error) => {
                    // Whoever asks first is told.
                    let _ = self.failed.set(Failed { alert: INTERNAL_ERROR, error });
                    (None, TransportErrorCode::crypto(INTERNAL_ERROR))
                }
            },
            Answer::Code(code) => (None, *code),
        };
        Box::new(Session { tls, code, failed: self.failed.clone(), next: None })
    }
}

fn initial(id: &ConnectionId) -> Option<crypto::Keys> {
    tls::quic::initial_keys(Version::V1, id).map(keys)
}

fn keys(keys: Keys) -> crypto::Keys {
    crypto::Keys {
        header: KeyPair { local: Box::new(keys.local.header), remote: Box::new(keys.remote.header) },
        packet: KeyPair { local: Box::new(keys.local.packet), remote: Box::new(keys.remote.packet) },
    }
}

/// What a session tells of itself.
pub(super) struct Report {
    pub(super) established: Established,
}

struct Session {
    tls: Option<QuicSession>,
    /// What a client is told for whom there is no session.
    code: TransportErrorCode,
    failed: Arc<OnceLock<Failed>>,
    next: Option<Secrets>,
}

fn refusal(failed: &Failed) -> TransportError {
    TransportError { code: TransportErrorCode::crypto(failed.alert), frame: None, reason: "handshake failed".to_owned() }
}

impl crypto::Session for Session {
    fn initial_keys(&self, id: &ConnectionId, _: Side) -> crypto::Keys {
        initial(id).unwrap_or_else(none)
    }

    fn handshake_data(&self) -> Option<Box<dyn Any>> {
        Some(Box::new(Report { established: self.tls.as_ref()?.established() }))
    }

    fn peer_identity(&self) -> Option<Box<dyn Any>> {
        None
    }

    fn early_crypto(&self) -> Option<(Box<dyn HeaderKey>, Box<dyn PacketKey>)> {
        let keys = self.tls.as_ref()?.early_keys()?;
        Some((Box::new(keys.header), Box::new(keys.packet)))
    }

    fn early_data_accepted(&self) -> Option<bool> {
        None
    }

    fn is_handshaking(&self) -> bool {
        self.tls.as_ref().is_none_or(QuicSession::is_handshaking)
    }

    fn read_handshake(&mut self, bytes: &[u8]) -> Result<bool, TransportError> {
        let Some(tls) = &mut self.tls else {
            return Err(TransportError { code: self.code, frame: None, reason: "handshake rejected".to_owned() });
        };
        tls.read(bytes).map(|()| false).map_err(|failed| {
            let refusal = refusal(&failed);
            let _ = self.failed.set(failed);
            refusal
        })
    }

    fn transport_parameters(&self) -> Result<Option<TransportParameters>, TransportError> {
        match self.tls.as_ref().and_then(QuicSession::parameters) {
            Some(bytes) => Ok(Some(TransportParameters::read(Side::Server, &mut Cursor::new(bytes))?)),
            None => Ok(None),
        }
    }

    fn write_handshake(&mut self, out: &mut Vec<u8>) -> Option<crypto::Keys> {
        Some(keys(match self.tls.as_mut()?.write(out)? {
            KeyChange::Handshake { keys } => keys,
            KeyChange::OneRtt { keys, next } => {
                self.next = Some(next);
                keys
            }
        }))
    }

    fn next_1rtt_keys(&mut self) -> Option<KeyPair<Box<dyn PacketKey>>> {
        let keys = self.next.as_mut()?.next_packet_keys();
        Some(KeyPair { local: Box::new(keys.local), remote: Box::new(keys.remote) })
    }

    fn is_valid_retry(&self, _: &ConnectionId, _: &[u8], _: &[u8]) -> bool {
        false
    }

    fn export_keying_material(&self, out: &mut [u8], label: &[u8], context: &[u8]) -> Result<(), ExportKeyingMaterialError> {
        let made = self.tls.as_ref().and_then(|tls| tls.export(out.len(), label, context)).ok_or(ExportKeyingMaterialError)?;
        out.iter_mut().zip(made).for_each(|(place, byte)| *place = byte);
        Ok(())
    }
}

/// Keys that open nothing, for a suite that this build does not have.
fn none() -> crypto::Keys {
    crypto::Keys {
        header: KeyPair { local: Box::new(NoKey), remote: Box::new(NoKey) },
        packet: KeyPair { local: Box::new(NoKey), remote: Box::new(NoKey) },
    }
}

struct NoKey;

impl HeaderKey for NoKey {
    fn decrypt(&self, _: usize, _: &mut [u8]) {}

    fn encrypt(&self, _: usize, _: &mut [u8]) {}

    fn sample_size(&self) -> usize {
        16
    }
}

impl PacketKey for NoKey {
    fn encrypt(&self, _: u64, _: &mut [u8], _: usize) {}

    fn decrypt(&self, _: u64, _: &[u8], _: &mut bytes::BytesMut) -> Result<(), crypto::CryptoError> {
        Err(crypto::CryptoError)
    }

    fn tag_len(&self) -> usize {
        16
    }

    fn confidentiality_limit(&self) -> u64 {
        u64::MAX
    }

    fn integrity_limit(&self) -> u64 {
        u64::MAX
    }
}
