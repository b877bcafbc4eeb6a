//! Certificates and private keys from files, `data:` values and Lua, with nginx's error messages.

pub mod cache;
mod decrypt;
pub(crate) mod pem;

use std::fmt;
use std::rc::Rc;
use std::sync::Arc;

use rustls::crypto::aws_lc_rs::sign::any_supported_type;
pub use rustls::pki_types::CertificateDer;
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs1KeyDer, PrivatePkcs8KeyDer, PrivateSec1KeyDer};
use rustls::sign::{CertifiedKey, SigningKey};
use x509_parser::prelude::{FromDer, X509Certificate};
use x509_parser::x509::SubjectPublicKeyInfo;

use crate::files::Files;

/// Why something could not be loaded: nginx's message, without its prefix and place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LoadError(pub(crate) String);

impl fmt::Display for LoadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for LoadError {}

/// A certificate and those that lead from it to an authority.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chain(Vec<CertificateDer<'static>>);

/// A private key that can sign.
#[derive(Debug, Clone)]
pub struct Key(Arc<dyn SigningKey>);

/// A certificate with its key.
#[derive(Debug, Clone)]
pub struct Pair {
    pub(crate) key: Arc<CertifiedKey>,
}

const NO_CERTIFICATE: &str = "error:0480006C:PEM routines::no start line:Expecting: TRUSTED CERTIFICATE";
const NO_KEY: &str = "error:1E08010C:DECODER routines::unsupported";
const NO_PASSWORD: &str = "error:07880109:common libcrypto routines::interrupted or cancelled";
const BAD_CERTIFICATE: &str = "error:0688010A:asn1 encoding routines::nested asn1 error:Type=X509";
const MISMATCH: &str = "error:05800074:x509 certificate routines::key values mismatch";

/// What stands before the name of a key in a file where OpenSSL's stores are asked; other stores are not.
pub const STORED_FILE: &str = "store:file:";

/// A certificate in DER, borrowed.
#[must_use]
pub fn der(bytes: &[u8]) -> CertificateDer<'_> {
    CertificateDer::from(bytes)
}

impl Chain {
    /// Reads `name`: a file in PEM, or PEM itself behind `data:`. The first certificate is the server's own.
    ///
    /// # Errors
    /// When the file cannot be read or holds no good certificate.
    pub fn load(files: &Files, name: &str) -> Result<Self, LoadError> {
        let fail = |call: &str, text: &str| LoadError(format!("cannot load certificate \"{name}\": {call}() failed (SSL: {text})"));
        let text = read(files, name).map_err(|LoadError(text)| fail("BIO_new_file", &text))?;
        Self::from_pem(&text).map_err(|text| fail("PEM_read_bio_X509_AUX", text))
    }

    /// Takes the certificates of a text in PEM.
    ///
    /// # Errors
    /// OpenSSL's words when there is none, or one that is none.
    pub fn from_pem(text: &[u8]) -> Result<Self, &'static str> {
        let certificates = certificates(text)?;
        if certificates.is_empty() { Err(NO_CERTIFICATE) } else { Ok(Self(certificates)) }
    }

    /// Takes certificates one behind the other in DER.
    ///
    /// # Errors
    /// OpenSSL's words when that is not what the bytes are.
    pub fn from_der(mut bytes: &[u8]) -> Result<Self, &'static str> {
        let mut certificates = Vec::new();
        while !bytes.is_empty() {
            let (rest, _) = X509Certificate::from_der(bytes).map_err(|_| BAD_CERTIFICATE)?;
            let der = bytes.get(..bytes.len() - rest.len()).unwrap_or_default();
            certificates.push(CertificateDer::from(der.to_vec()));
            bytes = rest;
        }
        if certificates.is_empty() { Err(BAD_CERTIFICATE) } else { Ok(Self(certificates)) }
    }

    /// The certificates, the own one first.
    #[must_use]
    pub fn certificates(&self) -> &[CertificateDer<'static>] {
        &self.0
    }
}

impl Key {
    /// Reads `name`: a file in PEM, or PEM itself behind `data:`. An encrypted key is tried with each password.
    ///
    /// # Errors
    /// When the file cannot be read, or the key is none, of an unknown kind, or encrypted otherwise.
    pub fn load(files: &Files, name: &str, passwords: &[Vec<u8>]) -> Result<Self, LoadError> {
        let fail = |call: &str, text: &str| LoadError(format!("cannot load certificate key \"{name}\": {call}() failed (SSL: {text})"));
        let path = name.strip_prefix(STORED_FILE).unwrap_or(name);
        if let Some(kind) = ["engine:", "store:"].iter().find(|kind| path.starts_with(**kind)) {
            let words = format!("loading \"{kind}...\" certificate keys is not supported");
            return Err(LoadError(format!("cannot load certificate key \"{name}\": {words}")));
        }
        let text = read(files, path).map_err(|LoadError(text)| fail("BIO_new_file", &text))?;
        Self::from_pem(&text, passwords).map_err(|text| fail("PEM_read_bio_PrivateKey", text))
    }

    /// Takes the first private key of a text in PEM.
    ///
    /// # Errors
    /// OpenSSL's words when there is none that can be used.
    pub fn from_pem(text: &[u8], passwords: &[Vec<u8>]) -> Result<Self, &'static str> {
        Self::with_der(text, passwords).map(|(key, _)| key)
    }

    /// As [`Key::from_pem`], with the key's bytes in DER.
    ///
    /// # Errors
    /// The same.
    pub fn with_der(text: &[u8], passwords: &[Vec<u8>]) -> Result<(Self, Vec<u8>), &'static str> {
        let keyed = |der: Vec<u8>| Self::from_der(&der).map(|key| (key, der));
        for block in pem::blocks(text) {
            let pem::Block { label, encryption, der } = block.map_err(pem::PemError::text)?;
            if !label.ends_with("PRIVATE KEY") {
                continue;
            }
            let open = |password: &[u8]| match (encryption, label) {
                (Some(info), _) => decrypt::traditional(&der, info, password),
                _ => decrypt::pkcs8(&der, password),
            };
            return match (encryption, label) {
                (None, "PRIVATE KEY" | "RSA PRIVATE KEY" | "EC PRIVATE KEY") => keyed(der),
                (Some(_), _) | (None, "ENCRYPTED PRIVATE KEY") => {
                    // The last password tells what is wrong, as in nginx.
                    let mut found = Err(NO_PASSWORD);
                    for password in passwords {
                        found = open(password).and_then(keyed);
                        if found.is_ok() {
                            break;
                        }
                    }
                    found
                }
                _ => Err(NO_KEY),
            };
        }
        Err(NO_KEY)
    }

    /// Takes a key in DER: PKCS #8, PKCS #1 (RSA) or SEC 1 (elliptic curves).
    ///
    /// # Errors
    /// OpenSSL's words when it is none of these.
    pub fn from_der(der: &[u8]) -> Result<Self, &'static str> {
        let kinds: [PrivateKeyDer<'_>; 3] =
            [PrivatePkcs8KeyDer::from(der).into(), PrivatePkcs1KeyDer::from(der).into(), PrivateSec1KeyDer::from(der).into()];
        kinds.iter().find_map(|kind| any_supported_type(kind).ok()).map(Self).ok_or(NO_KEY)
    }
}

impl Pair {
    /// Puts a certificate and its key together. A certificate of X.509 version 1 is as good as any.
    ///
    /// # Errors
    /// OpenSSL's words when they do not belong together.
    pub fn new(chain: &Chain, key: &Key) -> Result<Self, &'static str> {
        let own = chain.0.first().ok_or(NO_CERTIFICATE)?;
        let (_, certificate) = X509Certificate::from_der(own).map_err(|_| BAD_CERTIFICATE)?;
        if let Some(public) = key.0.public_key() {
            let (_, public) = SubjectPublicKeyInfo::from_der(&public).map_err(|_| NO_KEY)?;
            if public.subject_public_key.data != certificate.public_key().subject_public_key.data {
                return Err(MISMATCH);
            }
        }
        Ok(Self { key: Arc::new(CertifiedKey::new(chain.0.clone(), key.0.clone())) })
    }

    /// Reads both files.
    ///
    /// # Errors
    /// nginx's message.
    pub fn load(files: &Files, certificate: &str, key: &str, passwords: &[Vec<u8>]) -> Result<Self, LoadError> {
        let chain = Chain::load(files, certificate)?;
        let loaded = Key::load(files, key, passwords)?;
        Self::new(&chain, &loaded).map_err(|text| LoadError(format!("SSL_CTX_use_PrivateKey(\"{key}\") failed (SSL: {text})")))
    }

    /// The same with a stapled OCSP answer.
    #[must_use]
    pub fn with_ocsp(&self, response: Option<Vec<u8>>) -> Self {
        let mut key = CertifiedKey::clone(&self.key);
        key.ocsp = response;
        Self { key: Arc::new(key) }
    }

    /// The certificates, the own one first.
    #[must_use]
    pub fn certificates(&self) -> &[CertificateDer<'static>] {
        &self.key.cert
    }

    /// Leaves the last one of each kind of key, as OpenSSL does, and of `beside` what stands at the same places.
    #[must_use]
    pub fn last_of_each_kind<T>(pairs: Vec<Self>, beside: Vec<T>) -> (Vec<Self>, Vec<T>) {
        let mut kept: Vec<(Self, T)> = Vec::new();
        for (pair, item) in pairs.into_iter().zip(beside) {
            kept.retain(|(other, _)| !other.is_like(&pair));
            kept.push((pair, item));
        }
        kept.into_iter().unzip()
    }

    /// Whether the keys are of one kind, such as RSA: a server needs only one of each.
    #[must_use]
    pub fn is_like(&self, other: &Pair) -> bool {
        self.key.key.algorithm() == other.key.key.algorithm()
    }
}

/// All certificates of a text in PEM (`ssl_client_certificate`, `ssl_trusted_certificate`).
///
/// # Errors
/// OpenSSL's words when a block is broken.
pub fn certificates(text: &[u8]) -> Result<Vec<CertificateDer<'static>>, &'static str> {
    let mut found = Vec::new();
    for block in pem::blocks(text) {
        let block = block.map_err(pem::PemError::text)?;
        let der = match block.label {
            "CERTIFICATE" | "X509 CERTIFICATE" => block.der,
            "TRUSTED CERTIFICATE" => without_trust(block.der),
            _ => continue,
        };
        X509Certificate::from_der(&der).map_err(|_| BAD_CERTIFICATE)?;
        found.push(CertificateDer::from(der));
    }
    Ok(found)
}

/// Reads the trusted certificates of `name`, as [`Chain::load`] does (`ssl_client_certificate`, `ssl_trusted_certificate`).
///
/// # Errors
/// nginx's message.
pub fn load_trusted(files: &Files, name: &str) -> Result<Vec<CertificateDer<'static>>, LoadError> {
    Chain::load(files, name).map(|chain| chain.0)
}

/// Drops what OpenSSL writes behind a "trusted" certificate.
fn without_trust(mut der: Vec<u8>) -> Vec<u8> {
    if let Ok((rest, _)) = X509Certificate::from_der(&der) {
        let length = der.len() - rest.len();
        der.truncate(length);
    }
    der
}

/// The passwords of a file, one a line (`ssl_password_file`).
#[must_use]
pub fn passwords(text: &[u8]) -> Vec<Vec<u8>> {
    let lines = text.split(|byte| *byte == b'\n').map(|line| line.strip_suffix(b"\r").unwrap_or(line));
    lines.filter(|line| !line.is_empty()).map(<[u8]>::to_vec).collect()
}

/// The bytes that `name` means: a file's, or what stands behind `data:`.
pub(crate) fn read(files: &Files, name: &str) -> Result<Rc<[u8]>, LoadError> {
    files.read(name).map_err(|error| {
        let number = error.raw_os_error().unwrap_or_default();
        let words = error.to_string();
        let words = words.split(" (os error").next().unwrap_or_default();
        let second = if number == 2 { "error:10000080:BIO routines::no such file" } else { "error:10080002:BIO routines::system lib" };
        let code = 0x8000_0000_u32 | number.unsigned_abs();
        LoadError(format!("error:{code:08X}:system library::{words}:calling fopen({name}, r) {second}"))
    })
}
