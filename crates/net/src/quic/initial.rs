//! A client's first message until it is complete.

use std::cell::RefCell;
use std::fmt;
use std::task::Waker;

use tls::quic::{DirectionalKeys, Version};
use wire::quic::header::initials;
use wire::quic::{CryptoError, CryptoStream, Header, Initial};

/// Why a client has no ClientHello.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HelloError {
    /// Its packets are no good.
    Malformed,
    /// It is too long, or comes in too many pieces.
    TooLong,
    /// Too many others wait, and have done so for less long.
    Crowded,
}

impl fmt::Display for HelloError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            HelloError::Malformed => "malformed Initial packet",
            HelloError::TooLong => "too long ClientHello",
            HelloError::Crowded => "too many pending handshakes",
        })
    }
}

impl std::error::Error for HelloError {}

impl From<CryptoError> for HelloError {
    fn from(error: CryptoError) -> Self {
        match error {
            CryptoError::Malformed => HelloError::Malformed,
            CryptoError::TooLong => HelloError::TooLong,
        }
    }
}

/// The received part of an incoming client's ClientHello.
pub(super) struct InitialReader {
    pub(super) id: Box<[u8]>,
    keys: Option<DirectionalKeys>,
    pub(super) hello: RefCell<Result<CryptoStream, HelloError>>,
    pub(super) waker: RefCell<Option<Waker>>,
}

impl InitialReader {
    pub(super) fn new(datagram: &[u8]) -> Self {
        // The length of our own IDs does not matter: a newcomer has a long header.
        let id: Box<[u8]> = Header::parse(datagram, 0).map(|header| header.destination().into()).unwrap_or_default();
        let keys = tls::quic::initial_keys(Version::V1, &id).map(|keys| keys.remote);
        let held = Self { id, keys, hello: RefCell::new(Ok(CryptoStream::new())), waker: RefCell::default() };
        held.feed(datagram);
        held
    }

    pub(super) fn feed(&self, datagram: &[u8]) {
        let Some(keys) = &self.keys else { return };
        let mut hello = self.hello.borrow_mut();
        for initial in initials(datagram).filter(|initial| *initial.destination == *self.id) {
            let Some(payload) = open(&initial, keys) else { continue };
            if let Ok(stream) = &mut *hello
                && let Err(error) = stream.read(&payload)
            {
                *hello = Err(error.into());
            }
        }
        if let Ok(stream) = &*hello
            && stream.is_hopeless()
        {
            *hello = Err(HelloError::TooLong);
        }
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }

    /// Makes room for others.
    pub(super) fn fail(&self) {
        *self.hello.borrow_mut() = Err(HelloError::Crowded);
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }

    pub(super) fn is_whole(&self) -> bool {
        self.hello.borrow().as_ref().map_or(true, |stream| stream.message().is_some())
    }
}

/// The payload of an Initial packet; `None` if it is not authentic.
fn open(initial: &Initial<'_>, keys: &DirectionalKeys) -> Option<Vec<u8>> {
    let mut packet = initial.packet.to_vec();
    let sample = packet.get(initial.number_at + 4..)?.get(..keys.header.sample_len())?.to_vec();
    let (header, rest) = packet.split_at_mut_checked(initial.number_at)?;
    let first = header.first_mut()?;
    keys.header.decrypt_in_place(&sample, first, rest.get_mut(..4)?).ok()?;
    let length = usize::from(*first & 3) + 1;
    let number = rest.get(..length)?.iter().fold(0, |number, byte| number << 8 | u64::from(*byte));
    let (header, payload) = packet.split_at_mut_checked(initial.number_at + length)?;
    let payload = keys.packet.decrypt_in_place(number, header, payload).ok()?;
    Some(payload.to_vec())
}
