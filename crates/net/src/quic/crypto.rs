//! rustls as quinn-proto's TLS implementation.

use std::any::Any;
use std::io::Cursor;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use quinn_proto::crypto::{self, ExportKeyingMaterialError, HeaderKey, KeyPair, PacketKey, UnsupportedVersion};
use quinn_proto::transport_parameters::TransportParameters;
use quinn_proto::{ConnectionId, Side, TransportError, TransportErrorCode};
use tls::quic::{Failed, KeyChange, Keys, QuicSession, Secrets, Version};
use tls::server::Settings;
use tls::session::Established;

use super::parameters::{AdvertisedParameters, rewritten};

/// The only version that is spoken (RFC 9000).
pub(super) const VERSION: u32 = 1;

/// `unexpected_message` (RFC 8446, 6).
const UNEXPECTED_MESSAGE: u8 = 10;
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
    /// The transport parameters for the client.
    pub(super) parameters: Option<AdvertisedParameters>,
    /// Why it failed, if it did.
    pub(super) failed: Arc<OnceLock<Failed>>,
}

impl Crypto {
    /// For what comes before a handshake.
    pub(super) fn placeholder() -> Self {
        Self::refusing(TransportErrorCode::crypto(INTERNAL_ERROR))
    }

    /// Answers nothing but a code.
    pub(super) fn refusing(code: TransportErrorCode) -> Self {
        Self { answer: Answer::Code(code), parameters: None, failed: Arc::default() }
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
        if let Some(told) = self.parameters {
            bytes = rewritten(&bytes, told);
        }
        let stage = match &self.answer {
            Answer::Settings(settings) => match QuicSession::new(settings, Version::V1, bytes) {
                Ok(session) => Stage::Shaking(Box::new(session)),
                Err(error) => {
                    // Whoever asks first is told.
                    let _ = self.failed.set(Failed { alert: INTERNAL_ERROR, error });
                    Stage::Refusing(TransportErrorCode::crypto(INTERNAL_ERROR))
                }
            },
            Answer::Code(code) => Stage::Refusing(*code),
        };
        Box::new(Session { stage, failed: self.failed.clone(), next: None })
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

/// How far a handshake is.
enum Stage {
    /// There is no session; the client gets an error code.
    Refusing(TransportErrorCode),
    Shaking(Box<QuicSession>),
    /// Finished: only the results are left, until they are taken.
    Over(Mutex<Option<Box<Established>>>),
}

struct Session {
    stage: Stage,
    failed: Arc<OnceLock<Failed>>,
    next: Option<Secrets>,
}

impl Session {
    fn tls(&self) -> Option<&QuicSession> {
        if let Stage::Shaking(tls) = &self.stage { Some(tls) } else { None }
    }
}

fn refusal(failed: &Failed) -> TransportError {
    TransportError { code: TransportErrorCode::crypto(failed.alert), frame: None, reason: "handshake failed".to_owned() }
}

impl crypto::Session for Session {
    fn initial_keys(&self, id: &ConnectionId, _: Side) -> crypto::Keys {
        initial(id).unwrap_or_else(none)
    }

    fn handshake_data(&self) -> Option<Box<dyn Any>> {
        let established = match &self.stage {
            Stage::Refusing(_) => return None,
            Stage::Shaking(tls) => tls.established(),
            Stage::Over(found) => *found.lock().unwrap_or_else(PoisonError::into_inner).take()?,
        };
        Some(Box::new(Report { established }))
    }

    fn peer_identity(&self) -> Option<Box<dyn Any>> {
        None
    }

    fn early_crypto(&self) -> Option<(Box<dyn HeaderKey>, Box<dyn PacketKey>)> {
        let keys = self.tls()?.early_keys()?;
        Some((Box::new(keys.header), Box::new(keys.packet)))
    }

    fn early_data_accepted(&self) -> Option<bool> {
        None
    }

    fn is_handshaking(&self) -> bool {
        match &self.stage {
            Stage::Refusing(_) => true,
            Stage::Shaking(tls) => tls.is_handshaking(),
            Stage::Over(_) => false,
        }
    }

    fn read_handshake(&mut self, bytes: &[u8]) -> Result<bool, TransportError> {
        let refused = |code, reason: &str| Err(TransportError { code, frame: None, reason: reason.to_owned() });
        let tls = match &mut self.stage {
            Stage::Refusing(code) => return refused(*code, "handshake rejected"),
            Stage::Shaking(tls) => tls,
            // A client has no message to send then (RFC 9001, 4.4 and 6).
            Stage::Over(_) => return refused(TransportErrorCode::crypto(UNEXPECTED_MESSAGE), "unexpected message"),
        };
        tls.read(bytes).map(|()| false).map_err(|failed| {
            let refusal = refusal(&failed);
            let _ = self.failed.set(failed);
            refusal
        })
    }

    fn transport_parameters(&self) -> Result<Option<TransportParameters>, TransportError> {
        match self.tls().and_then(QuicSession::parameters) {
            Some(bytes) => Ok(Some(TransportParameters::read(Side::Server, &mut Cursor::new(bytes))?)),
            None => Ok(None),
        }
    }

    fn write_handshake(&mut self, out: &mut Vec<u8>) -> Option<crypto::Keys> {
        let Stage::Shaking(tls) = &mut self.stage else { return None };
        match tls.write(out) {
            Some(KeyChange::Handshake { keys: own }) => Some(keys(own)),
            Some(KeyChange::OneRtt { keys: own, next }) => {
                self.next = Some(next);
                Some(keys(own))
            }
            None => {
                // What comes later is keys alone, which follow from the last ones.
                if out.is_empty() && !tls.is_handshaking() {
                    self.stage = Stage::Over(Mutex::new(Some(Box::new(tls.established()))));
                }
                None
            }
        }
    }

    fn next_1rtt_keys(&mut self) -> Option<KeyPair<Box<dyn PacketKey>>> {
        let keys = self.next.as_mut()?.next_packet_keys();
        Some(KeyPair { local: Box::new(keys.local), remote: Box::new(keys.remote) })
    }

    fn is_valid_retry(&self, _: &ConnectionId, _: &[u8], _: &[u8]) -> bool {
        false
    }

    fn export_keying_material(&self, out: &mut [u8], label: &[u8], context: &[u8]) -> Result<(), ExportKeyingMaterialError> {
        let made = self.tls().and_then(|tls| tls.export(out.len(), label, context)).ok_or(ExportKeyingMaterialError)?;
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
