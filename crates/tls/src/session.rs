//! One end of a TLS connection over buffers: bytes in, plaintext out, plaintext in, records out.

use std::io::IoSlice;
use std::sync::Arc;

use rustls::client::UnbufferedClientConnection;
use rustls::pki_types::CertificateDer;
use rustls::server::UnbufferedServerConnection;
use rustls::unbuffered::{AppDataRecord, ConnectionState, EncryptError, UnbufferedStatus, WriteTraffic};
use rustls::{CommonState, HandshakeKind, ProtocolVersion};

use crate::alert::{self, AlertChoice};
use crate::buffer::{Buffers, Records};
use crate::ciphers::suites;
use crate::engine::{Engine, OVERHEAD, encode};
use crate::error::TlsError;
use crate::exporter::{Exporter, ExporterSource};
use crate::rejected;
use crate::signatures::{self, Signed};
use crate::verify::Verdict;

/// The longest plaintext of a record.
pub const RECORD: usize = 16_384;

/// A session of a server.
pub type ServerSession = Session<UnbufferedServerConnection>;

/// A session of a client.
pub type ClientSession = Session<UnbufferedClientConnection>;

/// What a session came to know while it took bytes.
#[derive(Debug, Default)]
struct Received {
    /// The peer said close_notify.
    peer_closed: bool,
    /// Some plaintext came before the handshake was over.
    early: bool,
    /// We said close_notify.
    closed: bool,
    /// Who signed in the handshake, and how.
    signed: Signed,
    /// The secret of exported key material, until it is requested.
    exporter: ExporterSource,
}

/// One end of a TLS connection, over buffers.
pub struct Session<E: Engine> {
    engine: E,
    /// Bytes of a record that is not whole, or of a handshake message that spans records.
    inbox: Vec<u8>,
    received: Received,
    /// The longest plaintext that is sealed into one record.
    record: usize,
    pub(crate) verifier: Option<Arc<E::Verifier>>,
    pub(crate) origin: E::Origin,
    pub(crate) verdict: Option<Verdict>,
    failed: Option<TlsError>,
}

impl<E: Engine> std::fmt::Debug for Session<E> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Session").field("seen", &self.received).field("failed", &self.failed).finish_non_exhaustive()
    }
}

impl<E: Engine> Session<E> {
    pub(crate) fn from_engine(engine: E, record: usize) -> Self {
        let record = record_size(record);
        Self {
            engine,
            inbox: Vec::new(),
            received: Received::default(),
            record,
            verifier: None,
            origin: E::Origin::default(),
            verdict: None,
            failed: None,
        }
    }

    /// Takes what stands in `buffers.incoming`, which is empty afterwards; appends plaintext to `plain` and records that
    /// have to be sent (handshake messages, alerts) to `buffers.records`, in case of an error too. Also starts a
    /// client's handshake, with nothing in `incoming`.
    ///
    /// # Errors
    /// What the peer did wrong, or what it complained about; the session is dead then.
    pub fn receive(&mut self, buffers: &mut Buffers, plain: &mut Vec<u8>) -> Result<(), TlsError> {
        let Buffers { incoming, records, .. } = buffers;
        if let Some(error) = &self.failed {
            incoming.clear();
            return Err(error.clone());
        }
        let waiting = !self.inbox.is_empty();
        if waiting {
            self.inbox.append(incoming);
        }
        let from = if waiting { &mut self.inbox } else { &mut *incoming };
        let (shakes, before) = (self.engine.common().is_handshaking(), records.pending().len());
        let result = advance(&mut self.engine, &mut self.received, from, plain, records, |_, _| Ok(()));
        match (waiting, result.is_ok()) {
            (false, true) if !incoming.is_empty() => self.inbox.extend_from_slice(incoming),
            (true, true) if !self.inbox.is_empty() => {}
            // An idle session keeps no buffer.
            _ => self.inbox = Vec::new(),
        }
        incoming.clear();
        if shakes {
            let Signed { local: own, peer } = signatures::take();
            let Received { signed, exporter, .. } = &mut self.received;
            (signed.local, signed.peer) = (own.or(signed.local), peer.or(signed.peer));
            exporter.observe(records.pending().get(before..).unwrap_or_default(), self.engine.common());
        }
        result.map_err(|error| self.fail(error))
    }

    /// Seals the bytes of `pieces`, at most `most` of them, into as few records as they need; small pieces share one.
    /// Returns how many bytes were taken: 0 while the handshake does not allow to send.
    ///
    /// # Errors
    /// When the session is dead, or its keys are used up.
    pub fn seal(&mut self, pieces: &[IoSlice<'_>], most: usize, buffers: &mut Buffers) -> Result<usize, TlsError> {
        if let Some(error) = &self.failed {
            return Err(error.clone());
        }
        if self.received.closed {
            return Err(TlsError::SHUTDOWN);
        }
        let Buffers { records, gathered, .. } = buffers;
        let size = self.record;
        let mut plain = Vec::new();
        let mut taken = 0;
        // The inbox goes along: rustls remembers places in it while a handshake message is not whole.
        let result = advance(&mut self.engine, &mut self.received, &mut self.inbox, &mut plain, records, |traffic, records| {
            taken = seal_pieces(traffic, pieces, most, size, gathered, records)?;
            Ok(())
        });
        debug_assert!(plain.is_empty(), "what had arrived was read before");
        result.map_err(|error| self.fail(error))?;
        Ok(taken)
    }

    /// Says close_notify; nothing can be sealed afterwards. Does nothing before the handshake is over.
    pub fn close(&mut self, buffers: &mut Buffers) {
        if self.received.closed || self.failed.is_some() {
            return;
        }
        let (mut plain, mut closed) = (Vec::new(), false);
        let records = &mut buffers.records;
        let _ = advance(&mut self.engine, &mut self.received, &mut self.inbox, &mut plain, records, |traffic, records| {
            closed = true;
            encrypted(records, OVERHEAD, |room| traffic.queue_close_notify(room))
        });
        self.received.closed = closed;
    }

    fn fail(&mut self, error: TlsError) -> TlsError {
        self.failed = Some(error.clone());
        error
    }

    pub(crate) fn common(&self) -> &CommonState {
        self.engine.common()
    }

    /// Whether the handshake is not over yet.
    #[must_use]
    pub fn is_handshaking(&self) -> bool {
        self.engine.common().is_handshaking()
    }

    /// Whether plaintext came as early data and the handshake is still not over (`$ssl_early_data`).
    #[must_use]
    pub fn is_early(&self) -> bool {
        self.received.early && self.is_handshaking()
    }

    /// Whether the peer said that it sends no more.
    #[must_use]
    pub fn is_peer_closed(&self) -> bool {
        self.received.peer_closed
    }

    /// Whether nothing of this session stands in a buffer, so that the connection may wait parked. What is in the
    /// worker's buffers or in the plaintext that was handed out is the caller's to know.
    #[must_use]
    pub fn can_park(&self) -> bool {
        self.inbox.is_empty() && self.failed.is_none() && !self.is_handshaking() && !self.received.peer_closed
    }

    /// The protocol by its name in OpenSSL (`$ssl_protocol`).
    #[must_use]
    pub fn protocol(&self) -> Option<&'static str> {
        protocol_name(self.engine.common())
    }

    /// The suite by its name in OpenSSL (`$ssl_cipher`).
    #[must_use]
    pub fn cipher(&self) -> Option<&'static str> {
        suites::name_of(self.engine.common().negotiated_cipher_suite()?.suite())
    }

    /// nginx's debug line about a handshake that is over.
    #[must_use]
    pub fn summary(&self) -> String {
        let protocol = self.protocol().unwrap_or_default();
        let cipher = self.engine.common().negotiated_cipher_suite().map(|suite| suites::description(suite.suite()));
        format!("SSL: {protocol}, cipher: \"{}\"", cipher.unwrap_or_default())
    }

    /// The group of the key exchange by its name in OpenSSL (`$ssl_curve`).
    #[must_use]
    pub fn group(&self) -> Option<&'static str> {
        suites::group_name(self.engine.common().negotiated_key_exchange_group()?.name())
    }

    /// How both ends signed (`$ssl_sigalg`, `$ssl_client_sigalg`); a resumed session has no signature.
    #[must_use]
    pub fn signed(&self) -> Signed {
        if self.is_resumed() { Signed::default() } else { self.received.signed }
    }

    /// What key material follows from; only once.
    pub fn take_exporter(&mut self) -> Option<Exporter> {
        self.received.exporter.made.take()
    }

    /// The protocol that was chosen by ALPN.
    #[must_use]
    pub fn alpn(&self) -> Option<&[u8]> {
        self.engine.common().alpn_protocol()
    }

    /// Whether an earlier session was resumed (`$ssl_session_reused`).
    #[must_use]
    pub fn is_resumed(&self) -> bool {
        self.engine.common().handshake_kind() == Some(HandshakeKind::Resumed)
    }

    /// The peer's certificate and what it sent along, its own first; that of the original session when resumed.
    #[must_use]
    pub fn peer_chain(&self) -> &[CertificateDer<'static>] {
        self.engine.common().peer_certificates().unwrap_or_default()
    }
}

/// What a server's handshake found.
#[derive(Debug, Clone, Default)]
pub struct Established {
    /// The protocol by its name in OpenSSL.
    pub protocol: Option<&'static str>,
    /// The suite by its name in OpenSSL.
    pub cipher: Option<&'static str>,
    /// The group of the key exchange by its name in OpenSSL.
    pub group: Option<&'static str>,
    /// An earlier session was resumed.
    pub resumed: bool,
    /// How both ends signed.
    pub signed: Signed,
    /// What key material follows from.
    pub exporter: Option<Exporter>,
    /// The protocol that was chosen by ALPN.
    pub alpn: Option<Box<[u8]>>,
    /// The client's certificate and what it sent along, its own first.
    pub peer: Vec<CertificateDer<'static>>,
    /// What was found about them.
    pub verdict: Option<Verdict>,
    /// Early data came and the handshake is still not over.
    pub early: bool,
}

impl Established {
    pub(crate) fn of(common: &CommonState) -> Self {
        Self {
            protocol: protocol_name(common),
            cipher: common.negotiated_cipher_suite().and_then(|suite| suites::name_of(suite.suite())),
            group: common.negotiated_key_exchange_group().and_then(|group| suites::group_name(group.name())),
            resumed: common.handshake_kind() == Some(HandshakeKind::Resumed),
            alpn: common.alpn_protocol().map(Box::from),
            peer: common.peer_certificates().unwrap_or_default().iter().map(|one| one.clone().into_owned()).collect(),
            ..Self::default()
        }
    }
}

fn protocol_name(common: &CommonState) -> Option<&'static str> {
    match common.protocol_version()? {
        ProtocolVersion::TLSv1_2 => Some("TLSv1.2"),
        ProtocolVersion::TLSv1_3 => Some("TLSv1.3"),
        _ => None,
    }
}

/// A size that records can have; 0 asks for the longest.
fn record_size(asked: usize) -> usize {
    if asked == 0 { RECORD } else { asked.min(RECORD) }
}

/// Lets rustls work on `incoming` until it needs more bytes or can write application data, which `write` does then.
fn advance<E: Engine>(
    engine: &mut E,
    seen: &mut Received,
    incoming: &mut Vec<u8>,
    plain: &mut Vec<u8>,
    records: &mut Records,
    mut write: impl FnMut(&mut WriteTraffic<'_, E::Data>, &mut Records) -> Result<(), TlsError>,
) -> Result<(), TlsError> {
    let mut used = 0;
    loop {
        let UnbufferedStatus { discard, state, .. } = engine.process(incoming.get_mut(used..).unwrap_or_default());
        // What goes wrong on this side is no fault of the peer.
        let said = state.as_ref().err().map_or(AlertChoice::Nothing, AlertChoice::from);
        let mut more = 0;
        let step = state.map_err(TlsError::from).and_then(|state| {
            match state {
                ConnectionState::ReadTraffic(mut traffic) => {
                    while let Some(record) = traffic.next_record() {
                        let AppDataRecord { discard, payload, .. } = record.map_err(TlsError::from)?;
                        more += discard;
                        plain.extend_from_slice(payload);
                    }
                }
                ConnectionState::ReadEarlyData(data) => {
                    seen.early = true;
                    E::early(data, plain)?;
                }
                ConnectionState::EncodeTlsData(mut data) => encode(&mut data, records)?,
                ConnectionState::TransmitTlsData(data) => data.done(),
                ConnectionState::PeerClosed => seen.peer_closed = true,
                ConnectionState::WriteTraffic(mut traffic) => {
                    write(&mut traffic, records)?;
                    return Ok(true);
                }
                _ => return Ok(true),
            }
            Ok(false)
        });
        used = (used + discard + more).min(incoming.len());
        if engine.common().is_handshaking() && engine.common().protocol_version() == Some(ProtocolVersion::TLSv1_3) {
            used += rejected::length(incoming.get(used..).unwrap_or_default());
        }
        match step {
            Ok(false) => {}
            Ok(true) => break,
            Err(error) => {
                // Behind close_notify nothing can be said.
                let said = if seen.closed { AlertChoice::Nothing } else { said };
                alert::send(engine, incoming, used, &said, records);
                return Err(error);
            }
        }
    }
    if used == incoming.len() {
        incoming.clear();
    } else if used > 0 {
        incoming.drain(..used);
    }
    Ok(())
}

fn encrypted(
    records: &mut Records,
    mut least: usize,
    mut make: impl FnMut(&mut [u8]) -> Result<usize, EncryptError>,
) -> Result<(), TlsError> {
    loop {
        match make(records.spare_capacity(least)) {
            Ok(count) => {
                records.commit(count);
                return Ok(());
            }
            Err(EncryptError::InsufficientSize(size)) if size.required_size > least => least = size.required_size,
            Err(_) => return Err(TlsError::EXHAUSTED),
        }
    }
}

/// Seals whole records straight from a piece; what is smaller is gathered with its neighbours first.
fn seal_pieces<Data>(
    traffic: &mut WriteTraffic<'_, Data>,
    pieces: &[IoSlice<'_>],
    most: usize,
    size: usize,
    gathered: &mut Vec<u8>,
    records: &mut Records,
) -> Result<usize, TlsError> {
    let mut seal = |bytes: &[u8]| encrypted(records, bytes.len() + OVERHEAD, |room| traffic.encrypt(bytes, room));
    gathered.clear();
    let mut taken = 0;
    let mut left = pieces.iter().map(|piece| &**piece).filter(|piece| !piece.is_empty()).peekable();
    while let Some(piece) = left.next() {
        let mut piece = piece.get(..piece.len().min(most - taken)).unwrap_or_default();
        taken += piece.len();
        let last = left.peek().is_none() || taken == most;
        while !piece.is_empty() {
            if gathered.is_empty() && (last || piece.len() >= size) {
                let (record, rest) = piece.split_at(piece.len().min(size));
                seal(record)?;
                piece = rest;
            } else {
                let (some, rest) = piece.split_at(piece.len().min(size - gathered.len()));
                gathered.extend_from_slice(some);
                piece = rest;
                if gathered.len() == size {
                    seal(gathered)?;
                    gathered.clear();
                }
            }
        }
        if taken == most {
            break;
        }
    }
    if !gathered.is_empty() {
        seal(gathered)?;
        gathered.clear();
    }
    Ok(taken)
}
