//! Key material that both ends of a session can derive (RFC 5705; RFC 8446, 7.5; `export_keying_material`).
//!
//! rustls derives it for sessions that own their buffers only. Of ours it tells the secret to who logs secrets, which is asked
//! for all sessions of a server; it stands here until the session whose bytes are being read takes it, on the same thread. In
//! TLS 1.2 the server's random bytes belong to it, which stand in its hello.

use std::cell::Cell;
use std::fmt;
use std::sync::Arc;

use aws_lc_rs::{digest, hmac};
use rustls::crypto::hash::HashAlgorithm;
use rustls::{CommonState, SupportedCipherSuite};

use crate::key_log::KeyLog;

/// The longest secret: that of SHA-384, and that of any session of TLS 1.2.
const LONGEST: usize = 48;

/// The length of random bytes in a hello.
const RANDOM: usize = 32;

/// Labels that TLS 1.2 uses itself and that are not available to exporters.
const RESERVED: [&[u8]; 5] = [b"client finished", b"server finished", b"master secret", b"extended master secret", b"key expansion"];

/// A secret, and how material follows from it.
#[derive(Clone)]
pub struct Exporter {
    secret: [u8; LONGEST],
    length: usize,
    means: Derivation,
}

#[derive(Clone)]
enum Derivation {
    /// TLS 1.3: the secret's length tells the hash.
    Expand,
    /// TLS 1.2: with the random bytes of client and server.
    Prf { mac: hmac::Algorithm, seed: Box<[u8; 2 * RANDOM]> },
}

impl fmt::Debug for Exporter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Exporter").finish_non_exhaustive()
    }
}

/// The secrets of a session.
struct Secrets {
    secret: [u8; LONGEST],
    length: usize,
    /// In TLS 1.2.
    client_random: Option<[u8; RANDOM]>,
}

thread_local! {
    static LAST: Cell<Option<Secrets>> = const { Cell::new(None) };
}

/// What a session keeps for a later request.
#[derive(Debug, Default)]
pub(crate) struct ExporterSource {
    /// The server's random bytes in TLS 1.2, before the secret is known.
    random: Option<Box<[u8; RANDOM]>>,
    /// All is known.
    pub(crate) made: Option<Exporter>,
}

impl ExporterSource {
    /// Looks at what the handshake wrote, and at what was told since the last time.
    pub(crate) fn observe(&mut self, written: &[u8], common: &CommonState) {
        let mac = mac(common);
        if mac.is_some() {
            self.random = server_random(written).map(Box::new).or(self.random.take());
        }
        let Some(Secrets { secret, length, client_random }) = LAST.take() else { return };
        let means = match client_random {
            None => Some(Derivation::Expand),
            Some(client) => self.random.take().zip(mac).map(|(server, mac)| {
                let mut seed = Box::new([0; 2 * RANDOM]);
                let (first, second) = seed.split_at_mut(RANDOM);
                first.copy_from_slice(&client);
                second.copy_from_slice(&*server);
                Derivation::Prf { mac, seed }
            }),
        };
        self.made = means.map(|means| Exporter { secret, length, means });
    }
}

/// What a session of TLS 1.2 derives with.
fn mac(common: &CommonState) -> Option<hmac::Algorithm> {
    let SupportedCipherSuite::Tls12(suite) = common.negotiated_cipher_suite()? else { return None };
    match suite.common.hash_provider.algorithm() {
        HashAlgorithm::SHA256 => Some(hmac::HMAC_SHA256),
        HashAlgorithm::SHA384 => Some(hmac::HMAC_SHA384),
        _ => None,
    }
}

/// The random bytes of the hello that starts the first record.
fn server_random(records: &[u8]) -> Option<[u8; RANDOM]> {
    let [22, _, _, _, _, 2, _, _, _, _, _, rest @ ..] = records else { return None };
    rest.first_chunk().copied()
}

/// Hears the secret, and passes all on to another log.
#[derive(Debug)]
pub(crate) struct SecretLog(pub(crate) Option<Arc<dyn KeyLog>>);

/// How rustls calls it in TLS 1.3.
const LABEL: &str = "EXPORTER_SECRET";

/// How rustls calls the one secret of TLS 1.2.
const MASTER: &str = "CLIENT_RANDOM";

impl KeyLog for SecretLog {
    fn log(&self, label: &str, client_random: &[u8], secret: &[u8]) {
        match label {
            LABEL => LAST.set(Secrets::new(secret, None)),
            MASTER => LAST.set(client_random.try_into().ok().and_then(|random| Secrets::new(secret, Some(random)))),
            _ => {}
        }
        if let Some(log) = self.0.as_ref().filter(|log| log.will_log(label)) {
            log.log(label, client_random, secret);
        }
    }

    fn will_log(&self, label: &str) -> bool {
        label == LABEL || label == MASTER || self.0.as_ref().is_some_and(|log| log.will_log(label))
    }
}

impl Secrets {
    fn new(secret: &[u8], client_random: Option<[u8; RANDOM]>) -> Option<Self> {
        let mut kept = [0; LONGEST];
        kept.get_mut(..secret.len())?.copy_from_slice(secret);
        Some(Self { secret: kept, length: secret.len(), client_random })
    }
}

impl Exporter {
    /// So many bytes for a label and a context; in TLS 1.2 an empty context is not the same as none. `None`: they are too many,
    /// the label or the context is too long, or the protocol needs the label itself.
    #[must_use]
    pub fn export(&self, length: usize, label: &[u8], context: Option<&[u8]>) -> Option<Vec<u8>> {
        let secret = self.secret.get(..self.length)?;
        match &self.means {
            Derivation::Expand => exported(secret, label, context.unwrap_or_default(), length),
            Derivation::Prf { mac, seed } => {
                if RESERVED.iter().any(|reserved| label.starts_with(reserved)) {
                    return None;
                }
                let mut seed = [label, &seed[..]].concat();
                if let Some(context) = context {
                    seed.extend_from_slice(&u16::try_from(context.len()).ok()?.to_be_bytes());
                    seed.extend_from_slice(context);
                }
                Some(derived(*mac, secret, &seed, length))
            }
        }
    }
}

/// The pseudorandom function of TLS 1.2 (RFC 5246, 5).
fn derived(mac: hmac::Algorithm, secret: &[u8], seed: &[u8], length: usize) -> Vec<u8> {
    let key = hmac::Key::new(mac, secret);
    let (mut out, mut step) = (Vec::with_capacity(length + LONGEST), hmac::sign(&key, seed));
    while out.len() < length {
        out.extend_from_slice(hmac::sign(&key, &[step.as_ref(), seed].concat()).as_ref());
        step = hmac::sign(&key, step.as_ref());
    }
    out.truncate(length);
    out
}

/// RFC 8446, 7.5.
fn exported(secret: &[u8], label: &[u8], context: &[u8], length: usize) -> Option<Vec<u8>> {
    let (mac, hash) = if secret.len() == LONGEST { (hmac::HMAC_SHA384, &digest::SHA384) } else { (hmac::HMAC_SHA256, &digest::SHA256) };
    let nothing = digest::digest(hash, b"");
    let own = expand(mac, secret, label, nothing.as_ref(), hash.output_len())?;
    expand(mac, &own, b"exporter", digest::digest(hash, context).as_ref(), length)
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

    fn exporter(size: usize, means: Derivation) -> Exporter {
        let Secrets { secret, length, .. } = Secrets::new(&vec![7; size], None).unwrap();
        Exporter { secret, length, means }
    }

    #[test]
    fn the_length_is_what_was_asked_for_or_nothing_comes() {
        for size in [32, 48] {
            let exporter = exporter(size, Derivation::Expand);
            let long = exporter.export(255 * size, b"label", None).unwrap();
            assert_eq!(long.len(), 255 * size);
            assert_ne!(long[..32], exporter.export(32, b"other", None).unwrap());
            assert_ne!(exporter.export(32, b"label", Some(b"x")), exporter.export(32, b"label", None));
            assert_eq!(exporter.export(32, b"label", Some(b"")), exporter.export(32, b"label", None));
            assert!(exporter.export(0, b"label", None).is_some_and(|none| none.is_empty()));
            assert!(exporter.export(255 * size + 1, b"label", None).is_none() && exporter.export(1, &[0; 250], None).is_none());
        }
        assert!(Secrets::new(&[0; 49], None).is_none());
    }

    #[test]
    fn labels_of_the_protocol_itself_are_refused_and_no_context_is_none() {
        let exporter = exporter(48, Derivation::Prf { mac: hmac::HMAC_SHA256, seed: Box::new([1; 64]) });
        let bare = exporter.export(100, b"label", None).unwrap();
        assert_eq!((bare.len(), &bare[..20]), (100, &exporter.export(20, b"label", None).unwrap()[..]));
        assert_ne!(bare, exporter.export(100, b"label", Some(b"")).unwrap());
        assert!(exporter.export(1, b"key expansion", None).is_none() && exporter.export(1, b"l", Some(&[0; 65_536])).is_none());
    }
}
