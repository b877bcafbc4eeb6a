//! Tokens that validate client addresses (RFC 9000, 8.1).

use std::cell::Cell;
use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use quinn_proto::crypto::{AeadKey, CryptoError, HandshakeTokenKey};
use quinn_proto::{TokenLog, TokenReuseError};
use tls::quic::HostKey;

/// How long the token of a Retry packet is good, and one for a later connection: as nginx's.
pub(super) const RETRY_LIFETIME: Duration = Duration::from_secs(3);
pub(super) const LIFETIME: Duration = Duration::from_secs(600);

/// Tokens of a span of time that are remembered. When there are more, clients prove their addresses anew.
const MOST: usize = 8192;

thread_local! {
    /// A token came that no process of this listener has made.
    static FORGED: Cell<bool> = const { Cell::new(false) };
}

/// Whether a token came since the last time that no process of this listener has made.
pub(super) fn take_forged() -> bool {
    FORGED.take()
}

/// Seals tokens.
pub(super) struct TokenKey(Arc<dyn HandshakeTokenKey>);

impl TokenKey {
    pub(super) fn new(key: &HostKey) -> Self {
        Self(key.token())
    }
}

impl HandshakeTokenKey for TokenKey {
    fn aead_from_hkdf(&self, random: &[u8]) -> Box<dyn AeadKey> {
        Box::new(WarningLog(self.0.aead_from_hkdf(random)))
    }
}

/// Tells what it could not open.
struct WarningLog(Box<dyn AeadKey>);

impl AeadKey for WarningLog {
    fn seal(&self, data: &mut Vec<u8>, more: &[u8]) -> Result<(), CryptoError> {
        self.0.seal(data, more)
    }

    fn open<'a>(&self, data: &'a mut [u8], more: &[u8]) -> Result<&'a mut [u8], CryptoError> {
        self.0.open(data, more).inspect_err(|_| FORGED.set(true))
    }
}

/// Which tokens have been used: each is good once in a process.
#[derive(Default)]
pub(super) struct UsedTokens(Mutex<Spans>);

#[derive(Default)]
struct Spans {
    /// Since when the newer span runs.
    since: Option<SystemTime>,
    newer: HashSet<u128>,
    older: HashSet<u128>,
}

impl TokenLog for UsedTokens {
    fn check_and_insert(&self, nonce: u128, _: SystemTime, lifetime: Duration) -> Result<(), TokenReuseError> {
        let mut spans = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let now = SystemTime::now();
        if spans.since.is_none_or(|since| now.duration_since(since).map_or(true, |age| age > lifetime)) {
            spans.older = std::mem::take(&mut spans.newer);
            spans.since = Some(now);
        }
        let known = spans.newer.contains(&nonce) || spans.older.contains(&nonce);
        if known || spans.newer.len() >= MOST {
            return Err(TokenReuseError);
        }
        spans.newer.insert(nonce);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_good_once() {
        let used = UsedTokens::default();
        let used = |nonce| used.check_and_insert(nonce, SystemTime::now(), LIFETIME).is_ok();
        assert!(used(1) && used(2) && !used(1));
        assert_eq!((3..20_000).filter(|nonce| used(*nonce)).count(), MOST - 2);
    }

    #[test]
    fn what_somebody_else_sealed_is_noticed() {
        let seal = |key: &[u8]| {
            let mut sealed = b"token".to_vec();
            TokenKey::new(&HostKey::new(key)).aead_from_hkdf(b"random").seal(&mut sealed, b"").unwrap();
            sealed
        };
        let open = |mut sealed: Vec<u8>| TokenKey::new(&HostKey::new(b"own")).aead_from_hkdf(b"random").open(&mut sealed, b"").is_ok();
        assert!(open(seal(b"own")) && !take_forged());
        assert!(!open(seal(b"other")) && take_forged() && !take_forged());
    }
}
