//! The suites and groups that rustls has, by the names and properties that OpenSSL gives them.

use rustls::crypto::SupportedKxGroup;
use rustls::crypto::aws_lc_rs::{cipher_suite, kx_group};
use rustls::{CipherSuite, NamedGroup, SupportedCipherSuite};

/// A suite as OpenSSL's cipher strings see it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Suite {
    pub(super) name: &'static str,
    /// The name in the standards.
    pub(super) standard: &'static str,
    pub(super) suite: SupportedCipherSuite,
    pub(super) ecdsa: bool,
    pub(super) cipher: Cipher,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Cipher {
    Aes128,
    Aes256,
    Chacha20,
}

const fn suite(name: &'static str, standard: &'static str, suite: SupportedCipherSuite, ecdsa: bool, cipher: Cipher) -> Suite {
    Suite { name, standard, suite, ecdsa, cipher }
}

/// Of TLS 1.2, best first. AES-128 stands before AES-256: SHA-384 alone costs a tenth of a handshake.
// tidy: table
pub(super) const TLS12: [Suite; 6] = [
    suite(
        "ECDHE-ECDSA-AES128-GCM-SHA256",
        "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256",
        cipher_suite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,
        true,
        Cipher::Aes128,
    ),
    suite(
        "ECDHE-RSA-AES128-GCM-SHA256",
        "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256",
        cipher_suite::TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
        false,
        Cipher::Aes128,
    ),
    suite(
        "ECDHE-ECDSA-AES256-GCM-SHA384",
        "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384",
        cipher_suite::TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384,
        true,
        Cipher::Aes256,
    ),
    suite(
        "ECDHE-RSA-AES256-GCM-SHA384",
        "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384",
        cipher_suite::TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
        false,
        Cipher::Aes256,
    ),
    suite(
        "ECDHE-ECDSA-CHACHA20-POLY1305",
        "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256",
        cipher_suite::TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256,
        true,
        Cipher::Chacha20,
    ),
    suite(
        "ECDHE-RSA-CHACHA20-POLY1305",
        "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256",
        cipher_suite::TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256,
        false,
        Cipher::Chacha20,
    ),
];

/// Of TLS 1.3, best first.
pub(super) const TLS13: [(&str, SupportedCipherSuite); 3] = [
    ("TLS_AES_128_GCM_SHA256", cipher_suite::TLS13_AES_128_GCM_SHA256),
    ("TLS_AES_256_GCM_SHA384", cipher_suite::TLS13_AES_256_GCM_SHA384),
    ("TLS_CHACHA20_POLY1305_SHA256", cipher_suite::TLS13_CHACHA20_POLY1305_SHA256),
];

/// Groups by their names, best first; several names may stand for one group, OpenSSL's own before others.
pub(super) const GROUPS: [(&str, &dyn SupportedKxGroup); 10] = [
    ("X25519", kx_group::X25519),
    ("prime256v1", kx_group::SECP256R1),
    ("P-256", kx_group::SECP256R1),
    ("secp256r1", kx_group::SECP256R1),
    ("secp384r1", kx_group::SECP384R1),
    ("P-384", kx_group::SECP384R1),
    ("X25519MLKEM768", kx_group::X25519MLKEM768),
    ("SecP256r1MLKEM768", kx_group::SECP256R1MLKEM768),
    ("MLKEM768", kx_group::MLKEM768),
    ("x25519", kx_group::X25519),
];

/// OpenSSL's name of a suite.
#[must_use]
pub fn name_of(suite: CipherSuite) -> Option<&'static str> {
    let old = TLS12.iter().find(|row| row.suite.suite() == suite).map(|row| row.name);
    old.or_else(|| TLS13.iter().find(|row| row.1.suite() == suite).map(|row| row.0))
}

/// OpenSSL's description of a suite, as nginx writes it: name, version, and algorithms of its parts.
#[must_use]
pub fn description(suite: CipherSuite) -> String {
    let name = name_of(suite).unwrap_or_default();
    let sealing = match name {
        name if name.contains("POLY1305") => "CHACHA20/POLY1305(256)",
        name if name.contains("AES256") || name.contains("AES_256") => "AESGCM(256)",
        _ => "AESGCM(128)",
    };
    match TLS12.iter().find(|row| row.suite.suite() == suite) {
        Some(row) => format!("{name} TLSv1.2 Kx=ECDH Au={} Enc={sealing} Mac=AEAD", if row.ecdsa { "ECDSA" } else { "RSA" }),
        None => format!("{name} TLSv1.3 Kx=any Au=any Enc={sealing} Mac=AEAD"),
    }
}

/// OpenSSL's name of a suite that a ClientHello names by number (`$ssl_ciphers`), whether rustls has it or not.
#[must_use]
pub fn name_of_number(number: u16) -> Option<&'static str> {
    name_of(CipherSuite::from(number)).or_else(|| super::numbers::name_of_other(number))
}

/// OpenSSL's name of a group.
#[must_use]
pub(crate) fn group_name(group: NamedGroup) -> Option<&'static str> {
    GROUPS.iter().find(|row| row.1.name() == group).map(|row| row.0)
}

/// OpenSSL's name of a group that a ClientHello names by number (`$ssl_curves`): those that servers meet, whether rustls
/// has them or not.
#[must_use]
pub fn group_name_of_number(number: u16) -> Option<&'static str> {
    group_name(NamedGroup::from(number)).or(match number {
        0x0015 => Some("secp224r1"),
        0x0016 => Some("secp256k1"),
        0x0019 => Some("secp521r1"),
        0x001a => Some("brainpoolP256r1"),
        0x001b => Some("brainpoolP384r1"),
        0x001c => Some("brainpoolP512r1"),
        0x001e => Some("X448"),
        0x0100 => Some("ffdhe2048"),
        0x0101 => Some("ffdhe3072"),
        0x0102 => Some("ffdhe4096"),
        0x0103 => Some("ffdhe6144"),
        0x0104 => Some("ffdhe8192"),
        _ => None,
    })
}
