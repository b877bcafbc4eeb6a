//! Key material that both ends of a session can derive (RFC 8446, 7.5; `export_keying_material`).
//!
//! rustls derives it for sessions that own their buffers only. Of ours it tells the secret to who logs secrets, which is asked
//! for all sessions of a server; it stands here until the session whose bytes are being read takes it, on the same thread.

use std::cell::Cell;
use std::fmt;
use std::sync::Arc;

use aws_lc_rs::{digest, hmac};

use crate::key_log::KeyLog;

/// The longest secret: that of SHA-384.
const LONGEST: usize = 48;

/// The secret of a session of TLS 1.3.
#[derive(Clone)]
pub struct Exporter {
    secret: [u8; LONGEST],
    length: usize,
}

impl fmt::Debug for Exporter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Exporter").finish_non_exhaustive()
    }
}

thread_local! {
    static LAST: Cell<Option<Exporter>> = const { Cell::new(None) };
}

/// What was told since the last time.
pub(crate) fn take() -> Option<Exporter> {
    LAST.take()
}

/// Hears the secret, and passes all on to another log.
#[derive(Debug)]
pub(crate) struct Listening(pub(crate) Option<Arc<dyn KeyLog>>);

/// How rustls calls it.
const LABEL: &str = "EXPORTER_SECRET";

impl KeyLog for Listening {
    fn log(&self, label: &str, client_random: &[u8], secret: &[u8]) {
        if label == LABEL {
            LAST.set(Exporter::new(secret));
        }
        if let Some(log) = self.0.as_ref().filter(|log| log.will_log(label)) {
            log.log(label, client_random, secret);
        }
    }

    fn will_log(&self, label: &str) -> bool {
        label == LABEL || self.0.as_ref().is_some_and(|log| log.will_log(label))
    }
}

impl Exporter {
    fn new(secret: &[u8]) -> Option<Self> {
        let mut kept = [0; LONGEST];
        kept.get_mut(..secret.len())?.copy_from_slice(secret);
        Some(Self { secret: kept, length: secret.len() })
    }

    /// So many bytes for a label and a context. `None`: they are too many, or the label is too long.
    #[must_use]
    pub fn export(&self, length: usize, label: &[u8], context: &[u8]) -> Option<Vec<u8>> {
        let (mac, hash) = if self.length == LONGEST { (hmac::HMAC_SHA384, &digest::SHA384) } else { (hmac::HMAC_SHA256, &digest::SHA256) };
        let nothing = digest::digest(hash, b"");
        let own = expand(mac, self.secret.get(..self.length)?, label, nothing.as_ref(), hash.output_len())?;
        expand(mac, &own, b"exporter", digest::digest(hash, context).as_ref(), length)
    }
}

/// `HKDF-Expand-Label` (RFC 8446, 7.1).
fn expand(mac: hmac::Algorithm, secret: &[u8], label: &[u8], context: &[u8], length: usize) -> Option<Vec<u8>> {
    const PREFIX: &[u8] = b"tls13 ";
    let mut info = u16::try_from(length).ok()?.to_be_bytes().to_vec();
    info.push(u8::try_from(PREFIX.len() + label.len()).ok()?);
    info.extend_from_slice(PREFIX);
    info.extend_from_slice(label);
    info.push(u8::try_from(context.len()).ok()?);
    info.extend_from_slice(context);
    let key = hmac::Key::new(mac, secret);
    let (mut out, mut block) = (Vec::with_capacity(length), Vec::new());
    for number in 1..=u8::MAX {
        if out.len() >= length {
            break;
        }
        block = hmac::sign(&key, &[&block[..], &info, &[number]].concat()).as_ref().to_vec();
        out.extend_from_slice(&block);
    }
    out.truncate(length);
    (out.len() == length).then_some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_length_is_what_was_asked_for_or_nothing_comes() {
        for size in [32, 48] {
            let exporter = Exporter::new(&vec![7; size]).unwrap();
            let long = exporter.export(255 * size, b"label", b"").unwrap();
            assert_eq!(long.len(), 255 * size);
            assert_ne!(long[..32], exporter.export(32, b"other", b"").unwrap());
            assert_ne!(exporter.export(32, b"label", b"x"), exporter.export(32, b"label", b""));
            assert!(exporter.export(0, b"label", b"").is_some_and(|none| none.is_empty()));
            assert!(exporter.export(255 * size + 1, b"label", b"").is_none() && exporter.export(1, &[0; 250], b"").is_none());
        }
        assert!(Exporter::new(&[0; 49]).is_none());
    }
}
