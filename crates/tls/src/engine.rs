//! The common interface of both ends of rustls.

use rustls::CommonState;
use rustls::client::{ClientConnectionData, UnbufferedClientConnection};
use rustls::server::{ServerConnectionData, UnbufferedServerConnection};
use rustls::unbuffered::{AppDataRecord, EncodeError, EncodeTlsData, ReadEarlyData, UnbufferedStatus};

use crate::buffer::Records;
use crate::error::TlsError;
use crate::resume::SessionOrigin;
use crate::verify::{ClientVerifier, ServerVerifier};

/// What a record adds to its plaintext, at most: header, explicit nonce, content type, tag.
pub(crate) const OVERHEAD: usize = 64;

/// The two kinds of rustls' connections.
pub trait Engine {
    /// What rustls keeps for this side.
    type Data;
    /// What verifies the peer's chain.
    type Verifier;
    /// What is remembered of the session's making.
    type Origin: Default;
    /// Looks at the next bytes.
    fn process<'c, 'i>(&'c mut self, incoming: &'i mut [u8]) -> UnbufferedStatus<'c, 'i, Self::Data>;
    /// What both sides know.
    fn common(&self) -> &CommonState;
    /// Moves early data to `plain`.
    fn early(state: ReadEarlyData<'_, '_, Self::Data>, plain: &mut Vec<u8>) -> Result<(), rustls::Error>;
}

impl Engine for UnbufferedServerConnection {
    type Data = ServerConnectionData;
    type Verifier = ClientVerifier;
    type Origin = ();

    fn process<'c, 'i>(&'c mut self, incoming: &'i mut [u8]) -> UnbufferedStatus<'c, 'i, Self::Data> {
        self.process_tls_records(incoming)
    }

    fn common(&self) -> &CommonState {
        self
    }

    fn early(mut state: ReadEarlyData<'_, '_, Self::Data>, plain: &mut Vec<u8>) -> Result<(), rustls::Error> {
        while let Some(record) = state.next_record() {
            let AppDataRecord { payload, .. } = record?;
            plain.extend_from_slice(payload);
        }
        Ok(())
    }
}

impl Engine for UnbufferedClientConnection {
    type Data = ClientConnectionData;
    type Verifier = ServerVerifier;
    type Origin = SessionOrigin;

    fn process<'c, 'i>(&'c mut self, incoming: &'i mut [u8]) -> UnbufferedStatus<'c, 'i, Self::Data> {
        self.process_tls_records(incoming)
    }

    fn common(&self) -> &CommonState {
        self
    }

    fn early(_: ReadEarlyData<'_, '_, Self::Data>, _: &mut Vec<u8>) -> Result<(), rustls::Error> {
        Ok(())
    }
}

/// Writes what rustls has queued.
pub(crate) fn encode<Data>(data: &mut EncodeTlsData<'_, Data>, records: &mut Records) -> Result<(), TlsError> {
    let mut least = OVERHEAD;
    loop {
        match data.encode(records.spare_capacity(least)) {
            Ok(count) => {
                records.commit(count);
                return Ok(());
            }
            Err(EncodeError::InsufficientSize(size)) if size.required_size > least => least = size.required_size,
            Err(_) => return Err(TlsError::INTERNAL),
        }
    }
}
