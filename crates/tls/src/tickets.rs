//! Session tickets: the client stores its session, encrypted with keys that all workers share.

use std::fmt;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{SystemTime, UNIX_EPOCH};

use aws_lc_rs::cipher::{AES_128, AES_256, DecryptionContext, PaddedBlockDecryptingKey, PaddedBlockEncryptingKey, UnboundCipherKey};
use aws_lc_rs::iv::FixedLength;
use aws_lc_rs::{hmac, rand};
use rustls::server::ProducesTickets;

/// The length of a key's name, and of the vector behind it.
const NAME: usize = 16;
const IV: usize = 16;
const TAG: usize = 32;

/// What a session belongs to. A ticket or a stored session of one is worth nothing in another: what a client proved to one
/// server block is not proved to its neighbour.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Context([u8; 32]);

impl Context {
    /// A context from what it consists of: name the server block, and the authorities that its clients need.
    #[must_use]
    pub fn new<'a>(parts: impl IntoIterator<Item = &'a [u8]>) -> Self {
        let mut digest = aws_lc_rs::digest::Context::new(&aws_lc_rs::digest::SHA256);
        for part in parts {
            // Lengths keep neighbours apart.
            digest.update(&part.len().to_be_bytes());
            digest.update(part);
        }
        Self(digest.finish().as_ref().try_into().unwrap_or_default())
    }

    /// Its bytes.
    #[must_use]
    pub fn bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Debug for Context {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Context({:02x}{:02x}…)", self.0[0], self.0[1])
    }
}

/// One key: nginx's files of 80 bytes (AES-256) or 48 bytes (AES-128).
#[derive(Clone, PartialEq, Eq)]
pub struct TicketKey {
    name: [u8; NAME],
    mac: Vec<u8>,
    cipher: Vec<u8>,
}

impl fmt::Debug for TicketKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TicketKey").finish_non_exhaustive()
    }
}

impl TicketKey {
    /// How long a key's bytes are.
    pub const LENGTH: usize = 80;

    /// A key from the bytes of a file of `ssl_session_ticket_key`; `None` when there are neither 80 nor 48.
    #[must_use]
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let size = match bytes.len() {
            80 => 32,
            48 => 16,
            _ => return None,
        };
        let (name, keys) = bytes.split_first_chunk::<NAME>()?;
        let (first, second) = keys.split_at_checked(size)?;
        // As in nginx, the longer form has the key of the code first, the shorter one the cipher's.
        let (mac, cipher) = if size == 32 { (first, second) } else { (second, first) };
        Some(Self { name: *name, mac: mac.to_vec(), cipher: cipher.to_vec() })
    }

    /// Bytes for a key by chance; `None` when the system gives none.
    #[must_use]
    pub fn random() -> Option<[u8; Self::LENGTH]> {
        let mut bytes = [0; Self::LENGTH];
        rand::fill(&mut bytes).ok()?;
        Some(bytes)
    }

    fn seal(&self, plain: &[u8], context: &Context) -> Option<Vec<u8>> {
        let mut sealed = plain.to_vec();
        let key = PaddedBlockEncryptingKey::cbc_pkcs7(self.unbound()?).ok()?;
        let DecryptionContext::Iv128(iv) = key.encrypt(&mut sealed).ok()? else { return None };
        let mut ticket = Vec::with_capacity(NAME + IV + sealed.len() + TAG);
        ticket.extend_from_slice(&self.name);
        ticket.extend_from_slice(iv.as_ref());
        ticket.extend_from_slice(&sealed);
        let tag = self.tag(&ticket, context);
        ticket.extend_from_slice(tag.as_ref());
        Some(ticket)
    }

    fn open(&self, ticket: &[u8], context: &Context) -> Option<Vec<u8>> {
        let (covered, tag) = ticket.split_at_checked(ticket.len().checked_sub(TAG)?)?;
        let mac = hmac::Key::new(hmac::HMAC_SHA256, &self.mac);
        hmac::verify(&mac, &[covered, context.bytes()].concat(), tag).ok()?;
        let (iv, sealed) = covered.get(NAME..)?.split_first_chunk::<IV>()?;
        let mut sealed = sealed.to_vec();
        let key = PaddedBlockDecryptingKey::cbc_pkcs7(self.unbound()?).ok()?;
        let length = key.decrypt(&mut sealed, DecryptionContext::Iv128(FixedLength::from(iv))).ok()?.len();
        sealed.truncate(length);
        Some(sealed)
    }

    fn tag(&self, covered: &[u8], context: &Context) -> hmac::Tag {
        let mut mac = hmac::Context::with_key(&hmac::Key::new(hmac::HMAC_SHA256, &self.mac));
        mac.update(covered);
        mac.update(context.bytes());
        mac.sign()
    }

    fn unbound(&self) -> Option<UnboundCipherKey> {
        let algorithm = if self.cipher.len() == 32 { &AES_256 } else { &AES_128 };
        UnboundCipherKey::new(algorithm, &self.cipher).ok()
    }
}

/// Seconds since the epoch.
fn seconds() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

/// The keys by which a server encrypts session tickets.
pub enum TicketKeys {
    /// From files: the first one encrypts, all decrypt. They are rotated with [`TicketKeys::set`].
    Given(RwLock<Vec<TicketKey>>),
    /// Made from a secret, another one for each span of time as long as a ticket lives. Who shares the secret has the same keys
    /// without a word.
    Rotating(Secret),
}

impl fmt::Debug for TicketKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TicketKeys").finish_non_exhaustive()
    }
}

/// What rotating keys are made from.
#[derive(Clone)]
pub struct Secret {
    bytes: [u8; 32],
    /// Spans of time are counted from here, seconds since the epoch.
    born: u64,
}

impl Secret {
    /// A secret by chance; `None` when the system gives none.
    #[must_use]
    pub fn random() -> Option<Self> {
        let mut bytes = [0; 32];
        rand::fill(&mut bytes).ok()?;
        Some(Self { bytes, born: seconds() })
    }

    /// Its bytes, for another process that is to have the same keys.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        [&self.bytes[..], &self.born.to_be_bytes()].concat()
    }

    /// The one of these bytes; `None` if they are none.
    #[must_use]
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (secret, born) = bytes.split_first_chunk()?;
        Some(Self { bytes: *secret, born: u64::from_be_bytes(born.try_into().ok()?) })
    }

    fn span(&self, now: u64, lifetime: u32) -> u64 {
        now.saturating_sub(self.born) / u64::from(lifetime.max(1))
    }

    fn key(&self, span: u64, lifetime: u32) -> Option<TicketKey> {
        let secret = hmac::Key::new(hmac::HMAC_SHA256, &self.bytes);
        let mut bytes = Vec::with_capacity(96);
        for part in 0..3_u8 {
            let mut context = hmac::Context::with_key(&secret);
            context.update(&span.to_be_bytes());
            context.update(&lifetime.to_be_bytes());
            context.update(&[part]);
            bytes.extend_from_slice(context.sign().as_ref());
        }
        TicketKey::from_bytes(bytes.get(..TicketKey::LENGTH)?)
    }
}

impl TicketKeys {
    /// These keys, the one that seals first.
    #[must_use]
    pub fn new(keys: Vec<TicketKey>) -> Arc<Self> {
        Arc::new(Self::Given(RwLock::new(keys)))
    }

    /// Keys from `secret` that change by themselves.
    #[must_use]
    pub fn rotating(secret: Secret) -> Arc<Self> {
        Arc::new(Self::Rotating(secret))
    }

    fn current(&self, now: u64, lifetime: u32) -> Option<TicketKey> {
        match self {
            Self::Given(keys) => keys.read().unwrap_or_else(PoisonError::into_inner).first().cloned(),
            Self::Rotating(secret) => secret.key(secret.span(now, lifetime), lifetime),
        }
    }

    fn named(&self, name: &[u8], now: u64, lifetime: u32) -> Option<TicketKey> {
        match self {
            Self::Given(keys) => keys.read().unwrap_or_else(PoisonError::into_inner).iter().find(|key| key.name == *name).cloned(),
            Self::Rotating(secret) => {
                let span = secret.span(now, lifetime);
                // A ticket outlives the span in which it was made by one more.
                [Some(span), span.checked_sub(1)]
                    .into_iter()
                    .flatten()
                    .filter_map(|span| secret.key(span, lifetime))
                    .find(|key| key.name == *name)
            }
        }
    }

    /// Takes other keys from now on.
    pub fn set(&self, keys: Vec<TicketKey>) {
        if let Self::Given(given) = self {
            *given.write().unwrap_or_else(PoisonError::into_inner) = keys;
        }
    }
}

/// Makes and opens the tickets of one context.
#[derive(Debug)]
pub struct Tickets {
    keys: Arc<TicketKeys>,
    context: Context,
    lifetime: u32,
}

impl Tickets {
    /// Tickets that are good for `lifetime` seconds (`ssl_session_timeout`), in `context` only.
    #[must_use]
    pub fn new(keys: Arc<TicketKeys>, context: Context, lifetime: u32) -> Arc<Self> {
        Arc::new(Self { keys, context, lifetime })
    }
}

impl ProducesTickets for Tickets {
    fn enabled(&self) -> bool {
        true
    }

    fn lifetime(&self) -> u32 {
        self.lifetime
    }

    fn encrypt(&self, plain: &[u8]) -> Option<Vec<u8>> {
        let now = seconds();
        let mut dated = now.to_be_bytes().to_vec();
        dated.extend_from_slice(plain);
        self.keys.current(now, self.lifetime)?.seal(&dated, &self.context)
    }

    fn decrypt(&self, ticket: &[u8]) -> Option<Vec<u8>> {
        let now = seconds();
        let mut opened = self.keys.named(ticket.get(..NAME)?, now, self.lifetime)?.open(ticket, &self.context)?;
        let (made, plain) = opened.split_first_chunk::<8>()?;
        let age = now.checked_sub(u64::from_be_bytes(*made))?;
        let length = plain.len();
        opened.drain(..opened.len() - length);
        (age < u64::from(self.lifetime)).then_some(opened)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(seed: u8, length: usize) -> TicketKey {
        TicketKey::from_bytes(&vec![seed; length]).unwrap()
    }

    #[test]
    fn rotating_keys_open_what_the_span_before_sealed() {
        let secret = Secret { bytes: [7; 32], born: 1000 };
        let keys = TicketKeys::Rotating(secret.clone());
        let at = |now| keys.current(now, 10).unwrap();
        assert_eq!((at(1000).name, at(1000).name == at(1010).name), (at(1009).name, false));
        assert!(keys.named(&at(1000).name, 1019, 10).is_some() && keys.named(&at(1000).name, 1020, 10).is_none());
        assert!(TicketKeys::Rotating(secret).named(&at(1005).name, 1005, 20).is_none());
    }

    #[test]
    fn tickets_open_with_any_key_and_in_their_context_only() {
        let context = Context::new([&b"server 1"[..], b"authority"]);
        for length in [80, 48] {
            let keys = TicketKeys::new(vec![key(1, length)]);
            let tickets = Tickets::new(keys.clone(), context, 300);
            let ticket = tickets.encrypt(b"a session").unwrap();
            keys.set(vec![key(2, length), key(1, length)]);
            assert_eq!(tickets.decrypt(&ticket).as_deref(), Some(&b"a session"[..]));
            let elsewhere = Tickets::new(keys.clone(), Context::new([&b"server 1authority"[..]]), 300);
            assert_eq!(elsewhere.decrypt(&ticket), None);
            for place in 0..ticket.len() {
                let mut bad = ticket.clone();
                bad[place] ^= 1;
                assert_eq!(tickets.decrypt(&bad), None);
                assert_eq!(tickets.decrypt(&ticket[..place]), None);
            }
            keys.set(vec![key(2, length)]);
            assert_eq!(tickets.decrypt(&ticket), None);
        }
        assert!(TicketKey::from_bytes(&[0; 64]).is_none());
    }
}
