//! The alert by which the peer hears what it did wrong.
//!
//! rustls queues one with most errors, but not with all. It answers certain records with an alert even then: such a record is
//! given to it, as if the peer had sent it.

use rustls::unbuffered::ConnectionState;
use rustls::{AlertDescription, Error, InvalidMessage, PeerIncompatible, PeerMisbehaved};

use crate::buffer::Records;
use crate::engine::{Engine, encode};
use crate::error::NO_CERTIFICATE;

/// A first byte that no record has.
const NO_RECORD: u8 = 0xff;

/// How often rustls is asked: it drops a record first, and one by one the messages that came whole with the wrong one. More than a hostile
/// peer sends do not matter, and it takes rustls longer the more there are.
const TRIES: usize = 64;

/// Which alert to send for an error.
pub(crate) enum AlertChoice {
    /// The peer ended the session itself, or did nothing wrong.
    Nothing,
    /// What rustls says.
    Usual,
    /// This, as long as alerts are in clear text.
    Rather(AlertDescription),
}

impl From<&Error> for AlertChoice {
    fn from(error: &Error) -> Self {
        match error {
            Error::AlertReceived(_) => AlertChoice::Nothing,
            error => of_openssl(error).map_or(AlertChoice::Usual, AlertChoice::Rather),
        }
    }
}

/// Behind an error: appends the alert to `records`. The session is dead afterwards and `incoming` empty.
pub(crate) fn send<E: Engine>(engine: &mut E, incoming: &mut Vec<u8>, used: usize, said: &AlertChoice, records: &mut Records) {
    let before = records.pending().len();
    // The same bytes, as rustls may remember places in them; before all is sent it has no reason to look at them.
    send_queued(engine, incoming.get_mut(used..).unwrap_or_default(), records);
    let silent = records.pending().len() == before;
    if silent && !matches!(said, AlertChoice::Nothing) {
        provoke(engine, incoming, used, records);
    }
    incoming.clear();
    if let (AlertChoice::Rather(wanted), Some([21, _, _, 0, 2, _, description])) = (said, records.pending_mut().get_mut(before..)) {
        *description = u8::from(*wanted);
    }
}

fn send_queued<E: Engine>(engine: &mut E, incoming: &mut [u8], records: &mut Records) {
    while engine.common().wants_write() {
        let Ok(ConnectionState::EncodeTlsData(mut data)) = engine.process(incoming).state else { break };
        if encode(&mut data, records).is_err() {
            break;
        }
    }
}

/// Makes rustls queue an alert: unexpected_message for a change_cipher_spec where none may be, otherwise decode_error for what
/// is no record. Where it goes on to read is its secret when a message has come in part: no record may start there either.
fn provoke<E: Engine>(engine: &mut E, incoming: &mut Vec<u8>, mut used: usize, records: &mut Records) {
    // In a handshake of TLS 1.3 one is legal, unless it says something else than 1.
    let says = if engine.common().is_handshaking() { 2 } else { 1 };
    incoming.resize(incoming.len() + 16, 0);
    let rest = incoming.get_mut(used..).unwrap_or_default();
    rest.fill(NO_RECORD);
    if let Some(record) = rest.first_chunk_mut() {
        *record = [20, 3, 3, 0, 1, says];
    }
    for _ in 0..TRIES {
        let status = engine.process(incoming.get_mut(used..).unwrap_or_default());
        used += status.discard;
        if engine.common().wants_write() {
            return send_queued(engine, incoming.get_mut(used..).unwrap_or_default(), records);
        }
    }
}

/// What OpenSSL says where rustls says something else, or nothing. It can only be said as long as alerts are in clear text.
fn of_openssl(error: &Error) -> Option<AlertDescription> {
    match error {
        Error::InvalidMessage(InvalidMessage::InvalidCcs | InvalidMessage::InvalidContentType)
        | Error::InvalidMessage(InvalidMessage::TrailingData("ChangeCipherSpecPayload"))
        | Error::PeerMisbehaved(PeerMisbehaved::MessageInterleavedWithHandshakeMessage | PeerMisbehaved::TooManyWarningAlertsReceived) => {
            Some(AlertDescription::UnexpectedMessage)
        }
        Error::PeerIncompatible(PeerIncompatible::KeyShareExtensionRequired) => Some(AlertDescription::MissingExtension),
        Error::PeerMisbehaved(PeerMisbehaved::ResumptionAttemptedWithVariedEms) => Some(AlertDescription::HandshakeFailure),
        Error::General(text) if text == NO_CERTIFICATE => Some(AlertDescription::HandshakeFailure),
        _ => None,
    }
}
