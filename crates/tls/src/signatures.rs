//! Which algorithms signed in a handshake.
//!
//! rustls tells them only to who chooses keys and who verifies, and these serve all sessions of a server. What they learn stands
//! here until the session whose bytes are being read takes it, on the same thread.

use std::cell::Cell;

use rustls::SignatureScheme;

thread_local! {
    static LAST: Cell<Signed> = const { Cell::new(Signed { own: None, peer: None }) };
}

/// Numbers of signature algorithms.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Signed {
    /// Of our signature.
    pub own: Option<u16>,
    /// Of the peer's.
    pub peer: Option<u16>,
}

/// We sign with this one.
pub(crate) fn note_own(scheme: SignatureScheme) {
    LAST.set(Signed { own: Some(scheme.into()), ..LAST.get() });
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
