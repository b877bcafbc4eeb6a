//! The ClientHello of TLS: the first message of a client, over one or several records.
//!
//! Values are ranges into [`Hello::message`], a copy of the handshake message without record headers; it is dropped with
//! the connection's handshake. Nothing of the protocol is decided here: a server that goes on hands the same bytes to its
//! TLS library, which checks them again.

use crate::span::Span;
use std::fmt;

/// The content type of handshake records.
pub const HANDSHAKE: u8 = 22;

/// The longest ClientHello that is read, bytes: what post-quantum key shares and padding need, several times over.
pub const LONGEST: usize = 65_536;

/// The longest payload of a record.
const RECORD: usize = 16_384;

/// How many records a hello may come in: the shortest useful ones carry more than a byte.
const RECORDS: usize = 8_192;

/// Numbers of extensions.
pub mod extension {
    /// server_name (RFC 6066, 3).
    pub const SERVER_NAME: u16 = 0;
    /// supported_groups (RFC 8446, 4.2.7).
    pub const GROUPS: u16 = 10;
    /// ec_point_formats (RFC 8422, 5.1.2).
    pub const POINT_FORMATS: u16 = 11;
    /// signature_algorithms (RFC 8446, 4.2.3).
    pub const SIGNATURE_ALGORITHMS: u16 = 13;
    /// application_layer_protocol_negotiation.
    pub const ALPN: u16 = 16;
    /// session_ticket (RFC 5077).
    pub const SESSION_TICKET: u16 = 35;
    /// pre_shared_key (RFC 8446, 4.2.11).
    pub const PRE_SHARED_KEY: u16 = 41;
    /// early_data (RFC 8446, 4.2.10).
    pub const EARLY_DATA: u16 = 42;
    /// supported_versions (RFC 8446, 4.2.1).
    pub const VERSIONS: u16 = 43;
    /// key_share (RFC 8446, 4.2.8).
    pub const KEY_SHARE: u16 = 51;
    /// quic_transport_parameters.
    pub const QUIC_PARAMETERS: u16 = 57;
    /// renegotiation_info (RFC 5746).
    pub const RENEGOTIATION: u16 = 0xff01;
}

/// How far a hello was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    /// More bytes are needed.
    Partial,
    /// The hello is whole; it ends within the first `len` bytes, which are whole records.
    Complete {
        /// The length of the records that hold it.
        len: usize,
    },
}

/// Why bytes are no ClientHello. [`HelloError::alert`] is the alert for the client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HelloError {
    /// The first byte is not that of a handshake record.
    NotHandshake,
    /// The record's version is not 3.x.
    WrongVersion,
    /// A record is empty or longer than allowed.
    RecordLength,
    /// Another record came between.
    UnexpectedRecord,
    /// The handshake starts with another message.
    UnexpectedMessage,
    /// The hello is longer than [`LONGEST`] or comes in too many records.
    TooLong,
    /// A length inside of the hello does not fit.
    Malformed,
    /// An extension comes twice.
    DuplicateExtension,
    /// Its legacy version is older than SSL 3.0.
    LegacyVersion,
    /// A first handshake says that it is a renegotiation (RFC 5746, 3.6).
    Renegotiation,
    /// A key is shared of a group that is not among those that are offered (RFC 8446, 4.2.8).
    KeyShare,
}

impl HelloError {
    /// OpenSSL's number and words for it, as its errors in nginx's log have them.
    #[must_use]
    pub fn reason(self) -> (u32, &'static str) {
        match self {
            HelloError::NotHandshake | HelloError::WrongVersion => (267, "wrong version number"),
            HelloError::RecordLength => (198, "packet length too long"),
            HelloError::UnexpectedRecord => (245, "unexpected record"),
            HelloError::UnexpectedMessage => (244, "unexpected message"),
            HelloError::TooLong => (152, "excessive message size"),
            HelloError::Malformed => (159, "length mismatch"),
            HelloError::DuplicateExtension => (110, "bad extension"),
            HelloError::LegacyVersion => (258, "unsupported protocol"),
            HelloError::Renegotiation => (337, "renegotiation mismatch"),
            HelloError::KeyShare => (108, "bad key share"),
        }
    }

    /// The number of the alert for the client.
    #[must_use]
    pub fn alert(self) -> u8 {
        match self {
            HelloError::NotHandshake | HelloError::UnexpectedRecord | HelloError::UnexpectedMessage => 10,
            HelloError::WrongVersion | HelloError::LegacyVersion => 70,
            HelloError::RecordLength => 22,
            HelloError::TooLong | HelloError::DuplicateExtension | HelloError::KeyShare => 47,
            HelloError::Renegotiation => 40,
            HelloError::Malformed => 50,
        }
    }
}

/// OpenSSL's words.
impl fmt::Display for HelloError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.reason().1)
    }
}

impl std::error::Error for HelloError {}

/// One extension, in the client's order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Extension {
    /// Its number, see [`extension`].
    pub number: u16,
    /// Its content.
    pub content: Span,
}

/// A ClientHello (RFC 8446, 4.1.2), assembled from its records.
#[derive(Debug, Default)]
pub struct Hello {
    message: Vec<u8>,
    /// How many bytes of records are in `message`.
    consumed: usize,
    records: usize,
    /// Lists may be empty that no server could answer to, and that of the versions may end early.
    lenient: bool,
    /// The legacy version: 0x0303 for TLS 1.2 and later.
    pub version: u16,
    /// The 32 random bytes.
    pub random: Span,
    /// The session that the client wants to resume in TLS 1.2; may be empty.
    pub session_id: Span,
    /// The cipher suites, two bytes each; see [`Hello::suites`].
    pub suites: Span,
    /// The compression methods.
    pub compressions: Span,
    /// The extensions in the client's order.
    pub extensions: Vec<Extension>,
}

impl Hello {
    /// Nothing read yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Nothing read yet, for who only looks and answers nothing, as nginx's `ssl_preread`: lists that TLS wants filled may be empty,
    /// that of the versions only has to begin, and records and the hello may have any length, which is the caller's to limit.
    #[must_use]
    pub fn lenient() -> Self {
        Self { lenient: true, ..Self::default() }
    }

    /// Parses `data`, all bytes received on the connection so far; continues where the last call stopped.
    ///
    /// # Errors
    /// When the bytes are no ClientHello; of no use afterwards.
    pub fn parse(&mut self, data: &[u8]) -> Result<Status, HelloError> {
        loop {
            if let Some(whole) = self.whole()? {
                self.message.truncate(whole);
                self.fields()?;
                return Ok(Status::Complete { len: self.consumed });
            }
            let rest = data.get(self.consumed..).unwrap_or_default();
            let Some(payload) = record(rest, self.records > 0, self.lenient)? else { return Ok(Status::Partial) };
            self.records += 1;
            let too_long = self.records > RECORDS || self.message.len() + payload.len() > LONGEST + RECORD;
            if too_long && !self.lenient {
                return Err(HelloError::TooLong);
            }
            self.message.extend_from_slice(payload);
            self.consumed += 5 + payload.len();
        }
    }

    /// Parses a complete handshake message without records, as in QUIC.
    ///
    /// # Errors
    /// When it is no ClientHello.
    pub fn of_message(message: &[u8]) -> Result<Self, HelloError> {
        let mut hello = Self { message: message.to_vec(), consumed: message.len(), ..Self::default() };
        if hello.whole()? != Some(message.len()) {
            return Err(HelloError::Malformed);
        }
        hello.fields()?;
        Ok(hello)
    }

    /// The length of the message if it is whole.
    fn whole(&self) -> Result<Option<usize>, HelloError> {
        match self.message.first() {
            Some(1) => {}
            Some(_) => return Err(HelloError::UnexpectedMessage),
            None => return Ok(None),
        }
        let Some(&[_, high, middle, low]) = self.message.first_chunk() else { return Ok(None) };
        let whole = 4 + usize::from(high) * 65_536 + usize::from(middle) * 256 + usize::from(low);
        if whole > LONGEST && !self.lenient {
            return Err(HelloError::TooLong);
        }
        Ok((self.message.len() >= whole).then_some(whole))
    }

    fn fields(&mut self) -> Result<(), HelloError> {
        let mut cursor = Cursor { bytes: &self.message, at: 4 };
        let version = cursor.number(2)?;
        let random = cursor.take(32)?;
        let session_id = cursor.list(1)?;
        let suites = cursor.list(2)?;
        let compressions = cursor.list(1)?;
        let empty = (suites.is_empty() || compressions.is_empty()) && !self.lenient;
        if session_id.len() > 32 || !suites.len().is_multiple_of(2) || empty {
            return Err(HelloError::Malformed);
        }
        let mut extensions: Vec<Extension> = Vec::new();
        if cursor.at < self.message.len() {
            let all = cursor.list(2)?;
            if cursor.at != self.message.len() {
                return Err(HelloError::Malformed);
            }
            cursor.at = all.start as usize;
            while cursor.at < self.message.len() {
                let number = u16::try_from(cursor.number(2)?).unwrap_or_default();
                let content = if self.lenient && number == extension::VERSIONS { cursor.list_or_remaining()? } else { cursor.list(2)? };
                extensions.push(Extension { number, content });
            }
        }
        if !self.lenient && has_duplicates(&extensions) {
            return Err(HelloError::DuplicateExtension);
        }
        self.version = u16::try_from(version).unwrap_or_default();
        (self.random, self.session_id, self.suites, self.compressions) = (random, session_id, suites, compressions);
        self.extensions = extensions;
        if self.lenient { Ok(()) } else { self.validate() }
    }

    /// Looks at what the library of TLS lets pass, though a server has to refuse it.
    fn validate(&self) -> Result<(), HelloError> {
        if self.version < 0x0300 {
            return Err(HelloError::LegacyVersion);
        }
        if self.extension(extension::RENEGOTIATION).is_some_and(|content| content != [0]) {
            return Err(HelloError::Renegotiation);
        }
        let offers = |group| self.groups().any(|offered| offered == group);
        if self.extension(extension::GROUPS).is_some() && !self.key_shares().all(offers) {
            return Err(HelloError::KeyShare);
        }
        Ok(())
    }

    /// The handshake message, its header included: what the spans are ranges of.
    #[must_use]
    pub fn message(&self) -> &[u8] {
        &self.message
    }

    /// The content of an extension.
    #[must_use]
    pub fn extension(&self, number: u16) -> Option<&[u8]> {
        // Only who looks and answers nothing may see several.
        let found = self.extensions.iter().rfind(|extension| extension.number == number)?;
        Some(found.content.of(&self.message))
    }

    /// The host name of the SNI extension, as sent; `None` if there is none or it is malformed.
    #[must_use]
    pub fn server_name(&self) -> Option<&[u8]> {
        let list = vector(self.extension(extension::SERVER_NAME)?, 2)?;
        let (kind, rest) = list.split_first()?;
        let name = vector_at(rest, 2)?.0;
        (*kind == 0 && !name.is_empty() && name.len() <= 255 && !name.contains(&0)).then_some(name)
    }

    /// The first session ticket that the client offers (RFC 8446, 4.2.11).
    #[must_use]
    pub fn first_ticket(&self) -> Option<&[u8]> {
        let content = self.extension(extension::PRE_SHARED_KEY)?;
        let length = usize::from(u16::from_be_bytes(*content.get(2..)?.first_chunk()?));
        content.get(4..4 + length)
    }

    /// The protocols of ALPN, the client's first choice first.
    pub fn alpn(&self) -> impl Iterator<Item = &[u8]> {
        let mut list = self.extension(extension::ALPN).and_then(|content| vector(content, 2)).unwrap_or_default();
        std::iter::from_fn(move || {
            let (name, rest) = vector_at(list, 1)?;
            list = rest;
            Some(name)
        })
    }

    /// The cipher suites by number, in the client's order.
    pub fn suites(&self) -> impl Iterator<Item = u16> {
        numbers(self.suites.of(&self.message))
    }

    /// The versions that the client speaks: of the extension, or the one of the hello if there is none.
    pub fn versions(&self) -> impl Iterator<Item = u16> {
        let content = self.extension(extension::VERSIONS);
        let listed = content.and_then(|content| vector(content, 1)).unwrap_or_default();
        let legacy = content.is_none().then_some(self.version);
        numbers(listed).chain(legacy)
    }

    /// The groups for the key exchange, the client's first choice first.
    pub fn groups(&self) -> impl Iterator<Item = u16> {
        numbers(self.extension(extension::GROUPS).and_then(|content| vector(content, 2)).unwrap_or_default())
    }

    /// The groups of which the client shares a key.
    pub(crate) fn key_shares(&self) -> impl Iterator<Item = u16> {
        let mut list = self.extension(extension::KEY_SHARE).and_then(|content| vector(content, 2)).unwrap_or_default();
        std::iter::from_fn(move || {
            let (group, rest) = list.split_first_chunk()?;
            list = vector_at(rest, 2)?.1;
            Some(u16::from_be_bytes(*group))
        })
    }

    /// The signature algorithms, the client's first choice first.
    pub fn signature_algorithms(&self) -> impl Iterator<Item = u16> {
        let content = self.extension(extension::SIGNATURE_ALGORITHMS);
        numbers(content.and_then(|content| vector(content, 2)).unwrap_or_default())
    }
}

/// The payload of the record that `data` starts with, when all of it is there.
fn record(data: &[u8], follows: bool, lenient: bool) -> Result<Option<&[u8]>, HelloError> {
    let Some(first) = data.first() else { return Ok(None) };
    if *first != HANDSHAKE {
        return Err(if follows { HelloError::UnexpectedRecord } else { HelloError::NotHandshake });
    }
    if data.get(1).is_some_and(|major| *major != 3) {
        return Err(HelloError::WrongVersion);
    }
    let Some(&[_, _, _, high, low]) = data.first_chunk() else { return Ok(None) };
    let length = usize::from(u16::from_be_bytes([high, low]));
    if (length == 0 || length > RECORD) && !lenient {
        return Err(HelloError::RecordLength);
    }
    Ok(data.get(5..5 + length))
}

fn has_duplicates(extensions: &[Extension]) -> bool {
    let mut numbers: Vec<_> = extensions.iter().map(|extension| extension.number).collect();
    numbers.sort_unstable();
    numbers.windows(2).any(|pair| pair.first() == pair.last())
}

/// The content of a vector that fills `bytes`, behind a length of `size` bytes.
fn vector(bytes: &[u8], size: usize) -> Option<&[u8]> {
    vector_at(bytes, size).filter(|(_, rest)| rest.is_empty()).map(|(content, _)| content)
}

/// The content of a vector that `bytes` starts with, and what follows it.
fn vector_at(bytes: &[u8], size: usize) -> Option<(&[u8], &[u8])> {
    let (length, rest) = bytes.split_at_checked(size)?;
    rest.split_at_checked(length.iter().fold(0, |sum, byte| sum * 256 + usize::from(*byte)))
}

fn numbers(bytes: &[u8]) -> impl Iterator<Item = u16> {
    bytes.as_chunks().0.iter().map(|pair| u16::from_be_bytes(*pair))
}

/// Reads the fields of the message.
struct Cursor<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl Cursor<'_> {
    fn take(&mut self, length: usize) -> Result<Span, HelloError> {
        let (start, end) = (self.at, self.at + length);
        if end > self.bytes.len() {
            return Err(HelloError::Malformed);
        }
        self.at = end;
        Ok(Span::new(start, end))
    }

    fn number(&mut self, size: usize) -> Result<usize, HelloError> {
        let span = self.take(size)?;
        Ok(span.of(self.bytes).iter().fold(0, |sum, byte| sum * 256 + usize::from(*byte)))
    }

    /// A list behind its length of two bytes, or what there is of it.
    fn list_or_remaining(&mut self) -> Result<Span, HelloError> {
        let length = self.number(2)?;
        self.take(length.min(self.bytes.len() - self.at))
    }

    fn list(&mut self, size: usize) -> Result<Span, HelloError> {
        let length = self.number(size)?;
        self.take(length)
    }
}

#[cfg(test)]
mod tests;
