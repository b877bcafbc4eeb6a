//! What all workers share: issued certificates, account keys, and proofs for challenges (`acme_shared_zone`).

use crate::order::Issued;
use base::clock;
use shm::dict::{Dict, Found, Store, StoreMode, Value};
use std::fmt;
use std::rc::Rc;

/// Whose zones these are.
pub(crate) const OWNER: &str = "acme";
/// `acme_shared_zone`
pub(crate) const DEFAULT: (&str, usize) = ("ngx_acme_shared", 256 * 1024);

/// What a key of the zone stands for.
#[derive(Clone, Copy)]
enum Kind {
    /// A certificate with its key, by issuer and order.
    Certificate = b'c' as isize,
    /// The key of an account, by issuer.
    Account = b'a' as isize,
    /// What a token is answered with.
    Token = b't' as isize,
    /// What a handshake for an identifier is answered with.
    Handshake = b'h' as isize,
}

/// The zone.
#[derive(Clone)]
pub(crate) struct Zone(Rc<Dict>);

/// There is no room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ZoneFull;

impl fmt::Display for ZoneFull {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("no room in the zone")
    }
}

impl std::error::Error for ZoneFull {}

impl Zone {
    pub(crate) fn new(zone: &shm::Zone) -> Zone {
        Zone(Rc::new(Dict::new(zone)))
    }

    pub(crate) fn certificate(&self, issuer: &str, order: &str) -> Option<Issued> {
        self.read_pair(Kind::Certificate, &format!("{issuer}\0{order}")).map(|(chain, key)| Issued { chain, key })
    }

    pub(crate) fn set_certificate(&self, issuer: &str, order: &str, issued: &Issued) -> Result<(), ZoneFull> {
        self.set_pair(Kind::Certificate, &format!("{issuer}\0{order}"), &issued.chain, &issued.key)
    }

    /// The account's key in DER.
    pub(crate) fn account(&self, issuer: &str) -> Option<Vec<u8>> {
        self.get(Kind::Account, issuer)
    }

    pub(crate) fn set_account(&self, issuer: &str, key: &[u8]) -> Result<(), ZoneFull> {
        self.set(Kind::Account, issuer, key)
    }

    /// What a token is answered with (RFC 8555, 8.3).
    pub(crate) fn token(&self, token: &str) -> Option<Vec<u8>> {
        self.get(Kind::Token, token)
    }

    pub(crate) fn set_token(&self, token: &str, answer: &[u8]) -> Result<(), ZoneFull> {
        self.set(Kind::Token, token, answer)
    }

    pub(crate) fn forget_token(&self, token: &str) {
        self.0.delete(&name(Kind::Token, token));
    }

    /// Certificate and key that a handshake for an identifier is answered with (RFC 8737).
    pub(crate) fn handshake(&self, identifier: &str) -> Option<Issued> {
        self.read_pair(Kind::Handshake, identifier).map(|(chain, key)| Issued { chain, key })
    }

    pub(crate) fn set_handshake(&self, identifier: &str, proof: &Issued) -> Result<(), ZoneFull> {
        self.set_pair(Kind::Handshake, identifier, &proof.chain, &proof.key)
    }

    pub(crate) fn forget_handshake(&self, identifier: &str) {
        self.0.delete(&name(Kind::Handshake, identifier));
    }

    /// Whether this process may go to work: another one may be at it.
    pub(crate) fn lease(&self) -> bool {
        self.0.lease()
    }

    /// This process is not at work.
    pub(crate) fn release_lease(&self) {
        self.0.release_lease();
    }

    fn get(&self, kind: Kind, key: &str) -> Option<Vec<u8>> {
        let mut value = Vec::new();
        let entry = self.0.get(&name(kind, key), false, clock::epoch_ms(), &mut value).ok().flatten()?;
        (entry.value == Found::Text).then_some(value)
    }

    fn set(&self, kind: Kind, key: &str, value: &[u8]) -> Result<(), ZoneFull> {
        let how = Store { when: StoreMode::Always, safe: true, lifetime: 0, flags: 0 };
        self.0.store(&name(kind, key), Value::Text(value), how, clock::epoch_ms()).map(drop).map_err(|_| ZoneFull)
    }

    /// Two values in one, so that none is seen without its fellow.
    fn read_pair(&self, kind: Kind, key: &str) -> Option<(Vec<u8>, Vec<u8>)> {
        let value = self.get(kind, key)?;
        let (length, both) = value.split_first_chunk::<4>()?;
        let (first, second) = both.split_at_checked(u32::from_le_bytes(*length) as usize)?;
        Some((first.to_vec(), second.to_vec()))
    }

    fn set_pair(&self, kind: Kind, key: &str, first: &[u8], second: &[u8]) -> Result<(), ZoneFull> {
        let length = u32::try_from(first.len()).map_err(|_| ZoneFull)?;
        self.set(kind, key, &[&length.to_le_bytes(), first, second].concat())
    }
}

fn name(kind: Kind, key: &str) -> Vec<u8> {
    [&[kind as u8], key.as_bytes()].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_comes_back_whole() {
        let memory = shm::Zone::new("z", OWNER, DEFAULT.1).unwrap();
        let zone = Zone::new(&memory);
        let issued = Issued { chain: b"chain".to_vec(), key: b"key".to_vec() };
        assert_eq!(zone.certificate("i", "o"), None);
        zone.set_certificate("i", "o", &issued).unwrap();
        zone.set_handshake("a.test", &Issued { chain: Vec::new(), key: b"k".to_vec() }).unwrap();
        assert_eq!(Zone::new(&memory).certificate("i", "o"), Some(issued));
        assert_eq!(zone.handshake("a.test").unwrap().key, b"k");
        zone.set_token("t", b"t.x").unwrap();
        assert_eq!(zone.token("t").as_deref(), Some(&b"t.x"[..]));
        zone.forget_token("t");
        zone.forget_handshake("a.test");
        assert!(zone.token("t").is_none() && zone.handshake("a.test").is_none());
        assert_eq!(zone.set_account("i", &[0; 1 << 20]), Err(ZoneFull));
    }
}
