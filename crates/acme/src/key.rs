//! The kinds of keys that can be made: of accounts and of certificates.

use rcgen::{KeyPair, RsaKeySize, SignatureAlgorithm};
use std::fmt;

/// A kind with its size.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) enum KeyKind {
    /// `ecdsa:256`
    #[default]
    P256,
    /// `ecdsa:384`
    P384,
    /// `ecdsa:521`
    P521,
    /// `rsa:2048`
    Rsa2048,
    /// `rsa:3072`
    Rsa3072,
    /// `rsa:4096`
    Rsa4096,
}

/// Why a word names no kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum KindError {
    Curve,
    Size,
}

impl fmt::Display for KindError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            KindError::Curve => "unsupported curve",
            KindError::Size => "unsupported key size",
        })
    }
}

impl std::error::Error for KindError {}

impl KeyKind {
    /// The kind that a word names; `None`: it is no kind at all.
    ///
    /// # Errors
    /// A size that there is not.
    pub(crate) fn named(word: &str) -> Result<Option<KeyKind>, KindError> {
        let (name, size) = word.split_once(':').map_or((word, None), |(name, size)| (name, Some(size)));
        match (name, size) {
            ("ecdsa", None | Some("256")) => Ok(Some(KeyKind::P256)),
            ("ecdsa", Some("384")) => Ok(Some(KeyKind::P384)),
            ("ecdsa", Some("521")) => Ok(Some(KeyKind::P521)),
            ("ecdsa", Some(_)) => Err(KindError::Curve),
            ("rsa", None | Some("2048")) => Ok(Some(KeyKind::Rsa2048)),
            ("rsa", Some("3072")) => Ok(Some(KeyKind::Rsa3072)),
            ("rsa", Some("4096")) => Ok(Some(KeyKind::Rsa4096)),
            ("rsa", Some(_)) => Err(KindError::Size),
            _ => Ok(None),
        }
    }

    /// Makes a key. One of RSA takes long.
    ///
    /// # Errors
    /// The library's words.
    pub(crate) fn generate(self) -> Result<KeyPair, rcgen::Error> {
        let curve = |algorithm: &'static SignatureAlgorithm| KeyPair::generate_for(algorithm);
        let rsa = |size| KeyPair::generate_rsa_for(&rcgen::PKCS_RSA_SHA256, size);
        match self {
            KeyKind::P256 => curve(&rcgen::PKCS_ECDSA_P256_SHA256),
            KeyKind::P384 => curve(&rcgen::PKCS_ECDSA_P384_SHA384),
            KeyKind::P521 => curve(&rcgen::PKCS_ECDSA_P521_SHA512),
            KeyKind::Rsa2048 => rsa(RsaKeySize::_2048),
            KeyKind::Rsa3072 => rsa(RsaKeySize::_3072),
            KeyKind::Rsa4096 => rsa(RsaKeySize::_4096),
        }
    }

    /// As the configuration writes it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            KeyKind::P256 => "ecdsa:256",
            KeyKind::P384 => "ecdsa:384",
            KeyKind::P521 => "ecdsa:521",
            KeyKind::Rsa2048 => "rsa:2048",
            KeyKind::Rsa3072 => "rsa:3072",
            KeyKind::Rsa4096 => "rsa:4096",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words() {
        for kind in [KeyKind::P256, KeyKind::P384, KeyKind::P521, KeyKind::Rsa2048, KeyKind::Rsa3072, KeyKind::Rsa4096] {
            assert_eq!(KeyKind::named(kind.name()), Ok(Some(kind)));
        }
        let table = [
            ("ecdsa", Ok(Some(KeyKind::P256))),
            ("rsa", Ok(Some(KeyKind::Rsa2048))),
            ("ecdsa:234", Err(KindError::Curve)),
            ("rsa:1024", Err(KindError::Size)),
            ("account.key", Ok(None)),
        ];
        for (word, expected) in table {
            assert_eq!(KeyKind::named(word), expected, "{word}");
        }
    }
}
