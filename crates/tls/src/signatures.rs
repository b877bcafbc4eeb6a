//! Which algorithms signed in a handshake.
//!
//! rustls tells them only to who chooses keys and who verifies, and these serve all sessions of a server. What they learn stands
//! here until the session whose bytes are being read takes it, on the same thread.

use std::cell::Cell;

use rustls::SignatureScheme;

thread_local! {
    static LAST: Cell<Signed> = const { Cell::new(Signed { local: None, peer: None }) };
}

/// Numbers of signature algorithms.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Signed {
    /// Of our signature.
    pub local: Option<u16>,
    /// Of the peer's.
    pub peer: Option<u16>,
}

/// We sign with this one.
pub(crate) fn note_own(scheme: SignatureScheme) {
    LAST.set(Signed { local: Some(scheme.into()), ..LAST.get() });
}

/// The peer signed with this one.
pub(crate) fn note_peer(scheme: SignatureScheme) {
    LAST.set(Signed { peer: Some(scheme.into()), ..LAST.get() });
}

/// What was learned since the last time.
pub(crate) fn take() -> Signed {
    LAST.take()
}

/// The name of an algorithm by its number, as OpenSSL writes it.
#[must_use]
// tidy: table
pub fn name_of_number(number: u16) -> Option<&'static str> {
    Some(match number {
        0x0201 => "rsa_pkcs1_sha1",
        0x0202 => "dsa_sha1",
        0x0203 => "ecdsa_sha1",
        0x0301 => "rsa_pkcs1_sha224",
        0x0302 => "dsa_sha224",
        0x0303 => "ecdsa_sha224",
        0x0401 => "rsa_pkcs1_sha256",
        0x0402 => "dsa_sha256",
        0x0403 => "ecdsa_secp256r1_sha256",
        0x0501 => "rsa_pkcs1_sha384",
        0x0502 => "dsa_sha384",
        0x0503 => "ecdsa_secp384r1_sha384",
        0x0601 => "rsa_pkcs1_sha512",
        0x0602 => "dsa_sha512",
        0x0603 => "ecdsa_secp521r1_sha512",
        0x0804 => "rsa_pss_rsae_sha256",
        0x0805 => "rsa_pss_rsae_sha384",
        0x0806 => "rsa_pss_rsae_sha512",
        0x0807 => "ed25519",
        0x0808 => "ed448",
        0x0809 => "rsa_pss_pss_sha256",
        0x080a => "rsa_pss_pss_sha384",
        0x080b => "rsa_pss_pss_sha512",
        0x081a => "ecdsa_brainpoolP256r1tls13_sha256",
        0x081b => "ecdsa_brainpoolP384r1tls13_sha384",
        0x081c => "ecdsa_brainpoolP512r1tls13_sha512",
        0x0904 => "mldsa44",
        0x0905 => "mldsa65",
        0x0906 => "mldsa87",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_of_the_registry() {
        // rustls has names of its own for the same numbers.
        let known = [
            SignatureScheme::RSA_PKCS1_SHA1,
            SignatureScheme::ECDSA_SHA1_Legacy,
            SignatureScheme::RSA_PKCS1_SHA256,
            SignatureScheme::ECDSA_NISTP256_SHA256,
            SignatureScheme::RSA_PKCS1_SHA384,
            SignatureScheme::ECDSA_NISTP384_SHA384,
            SignatureScheme::RSA_PKCS1_SHA512,
            SignatureScheme::ECDSA_NISTP521_SHA512,
            SignatureScheme::RSA_PSS_SHA256,
            SignatureScheme::RSA_PSS_SHA384,
            SignatureScheme::RSA_PSS_SHA512,
            SignatureScheme::ED25519,
            SignatureScheme::ED448,
        ];
        for scheme in known {
            let ours = name_of_number(scheme.into()).unwrap();
            let theirs = format!("{scheme:?}").to_lowercase().replace("nistp", "secp").replace("_legacy", "");
            let theirs = theirs.replace("pss_", "pss_rsae_");
            let ours = ours.replace("secp256r1", "secp256").replace("secp384r1", "secp384").replace("secp521r1", "secp521");
            assert_eq!(ours, theirs);
        }
        let named: Vec<u16> = (0..=u16::MAX).filter(|number| name_of_number(*number).is_some()).collect();
        let mut names: Vec<_> = named.iter().filter_map(|number| name_of_number(*number)).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), named.len(), "two numbers have one name");
    }

    #[test]
    fn what_is_learned_is_taken_once() {
        note_own(SignatureScheme::ED25519);
        note_peer(SignatureScheme::RSA_PSS_SHA256);
        assert_eq!(take(), Signed { local: Some(0x0807), peer: Some(0x0804) });
        assert_eq!(take(), Signed::default());
    }
}
