//! Encrypted private keys: PKCS #8, and OpenSSL's older form with headers in the PEM block. What OpenSSL reads without its legacy provider
//! is read.

use aes::cipher::block_padding::Pkcs7;
use aes::cipher::{BlockDecryptMut, KeyIvInit};
use hmac::Hmac;
use md5::{Digest, Md5};
use pbkdf2::pbkdf2;
use pkcs8::EncryptedPrivateKeyInfo;
use pkcs8::der::asn1::{AnyRef, ObjectIdentifier, OctetStringRef};
use pkcs8::der::{Decode, Reader, SliceReader, Tag, Tagged};
use pkcs8::spki::AlgorithmIdentifierRef;
use pkcs12::kdf::{Pkcs12KeyType, derive_key_utf8};
use sha1::Sha1;
use sha2::{Sha224, Sha256, Sha384, Sha512, Sha512_224, Sha512_256};

/// Why a key stays closed, in OpenSSL's words.
pub(super) type Closed = &'static str;

const BAD_PASSWORD: Closed =
    "error:1C800064:Provider routines::bad decrypt error:11800074:PKCS12 routines::pkcs12 cipherfinal error:maybe wrong password";
const BAD_OLD_PASSWORD: Closed = "error:1C800064:Provider routines::bad decrypt error:04800065:PEM routines::bad decrypt";
const MALFORMED: Closed = "error:1E08010C:DECODER routines::unsupported:No supported data to decode. Input type: PEM";
const UNKNOWN: Closed = "error:04800072:PEM routines::unsupported encryption";

macro_rules! legacy {
    ($algorithm:literal) => {
        concat!(
            "error:1E08010C:DECODER routines::unsupported:No supported data to decode. Input type: PEM ",
            "error:0308010C:digital envelope routines::unsupported:Global default library context, Algorithm (",
            $algorithm,
            "), Properties ()"
        )
    };
}

/// Algorithms that OpenSSL has in its legacy provider only.
const LEGACY: &[(&str, Closed)] = &[
    ("1.2.840.113533.7.66.10", legacy!("CAST5-CBC : 18")),
    ("1.2.840.113549.1.5.1", legacy!("PBKDF1 : 0")),
    ("1.2.840.113549.1.5.3", legacy!("PBKDF1 : 0")),
    ("1.2.840.113549.1.5.4", legacy!("PBKDF1 : 0")),
    ("1.2.840.113549.1.5.6", legacy!("PBKDF1 : 0")),
    ("1.2.840.113549.1.5.10", legacy!("PBKDF1 : 0")),
    ("1.2.840.113549.1.5.11", legacy!("PBKDF1 : 0")),
    ("1.2.840.113549.1.12.1.1", legacy!("RC4 : 37")),
    ("1.2.840.113549.1.12.1.2", legacy!("RC4-40 : 0")),
    ("1.2.840.113549.1.12.1.5", legacy!("RC2-CBC : 4")),
    ("1.2.840.113549.1.12.1.6", legacy!("RC2-40-CBC : 0")),
    ("1.2.840.113549.3.2", legacy!("RC2-CBC : 4")),
    ("1.2.840.113549.3.4", legacy!("RC4 : 37")),
    ("1.2.410.200004.1.4", legacy!("SEED-CBC : 53")),
    ("1.3.14.3.2.7", legacy!("DES-CBC : 8")),
    ("1.3.6.1.4.1.3029.1.2", legacy!("BF-CBC : 11")),
];

/// How data is decrypted with a key and a vector.
type Open = fn(&[u8], &[u8], &[u8]) -> Option<Vec<u8>>;

/// The names of ciphers in old headers, their objects in PKCS #8, and the length of their keys.
const CIPHERS: &[(&str, &str, usize, Open)] = &[
    ("AES-128-CBC", "2.16.840.1.101.3.4.1.2", 16, open::<cbc::Decryptor<aes::Aes128>>),
    ("AES-192-CBC", "2.16.840.1.101.3.4.1.22", 24, open::<cbc::Decryptor<aes::Aes192>>),
    ("AES-256-CBC", "2.16.840.1.101.3.4.1.42", 32, open::<cbc::Decryptor<aes::Aes256>>),
    ("ARIA-128-CBC", "1.2.410.200046.1.1.2", 16, open::<cbc::Decryptor<aria::Aria128>>),
    ("ARIA-192-CBC", "1.2.410.200046.1.1.7", 24, open::<cbc::Decryptor<aria::Aria192>>),
    ("ARIA-256-CBC", "1.2.410.200046.1.1.12", 32, open::<cbc::Decryptor<aria::Aria256>>),
    ("CAMELLIA-128-CBC", "1.2.392.200011.61.1.1.1.2", 16, open::<cbc::Decryptor<camellia::Camellia128>>),
    ("CAMELLIA-192-CBC", "1.2.392.200011.61.1.1.1.3", 24, open::<cbc::Decryptor<camellia::Camellia192>>),
    ("CAMELLIA-256-CBC", "1.2.392.200011.61.1.1.1.4", 32, open::<cbc::Decryptor<camellia::Camellia256>>),
    ("DES-EDE3-CBC", "1.2.840.113549.3.7", 24, open::<cbc::Decryptor<des::TdesEde3>>),
    ("DES-EDE-CBC", "", 16, open::<cbc::Decryptor<des::TdesEde2>>),
    ("DES-CBC", "", 8, open::<cbc::Decryptor<des::Des>>),
    ("SM4-CBC", "1.2.156.10197.1.104.2", 16, open::<cbc::Decryptor<sm4::Sm4>>),
];

/// Makes a key of so many bytes of a password and a salt, in so many rounds.
type Derive = fn(&[u8], &[u8], u32, usize) -> Option<Vec<u8>>;

/// The functions of PBKDF2 by their objects.
const FUNCTIONS: &[(&str, Derive)] = &[
    ("1.2.840.113549.2.6", |p, s, n, size| stretched(size, |out| pbkdf2::<Hmac<Md5>>(p, s, n, out).is_ok())),
    ("1.2.840.113549.2.7", |p, s, n, size| stretched(size, |out| pbkdf2::<Hmac<Sha1>>(p, s, n, out).is_ok())),
    ("1.2.840.113549.2.8", |p, s, n, size| stretched(size, |out| pbkdf2::<Hmac<Sha224>>(p, s, n, out).is_ok())),
    ("1.2.840.113549.2.9", |p, s, n, size| stretched(size, |out| pbkdf2::<Hmac<Sha256>>(p, s, n, out).is_ok())),
    ("1.2.840.113549.2.10", |p, s, n, size| stretched(size, |out| pbkdf2::<Hmac<Sha384>>(p, s, n, out).is_ok())),
    ("1.2.840.113549.2.11", |p, s, n, size| stretched(size, |out| pbkdf2::<Hmac<Sha512>>(p, s, n, out).is_ok())),
    ("1.2.840.113549.2.12", |p, s, n, size| stretched(size, |out| pbkdf2::<Hmac<Sha512_224>>(p, s, n, out).is_ok())),
    ("1.2.840.113549.2.13", |p, s, n, size| stretched(size, |out| pbkdf2::<Hmac<Sha512_256>>(p, s, n, out).is_ok())),
];

fn stretched(size: usize, fill: impl FnOnce(&mut [u8]) -> bool) -> Option<Vec<u8>> {
    let mut key = vec![0; size];
    fill(&mut key).then_some(key)
}

/// The PKCS #8 key inside of an encrypted one.
///
/// # Errors
/// OpenSSL's words for a wrong password, or for an algorithm that is none of those above.
pub(super) fn pkcs8(der: &[u8], password: &[u8]) -> Result<Vec<u8>, Closed> {
    let (scheme, data) = envelope(der).ok_or(MALFORMED)?;
    let parameters = scheme.parameters.ok_or(MALFORMED)?;
    match &*scheme.oid.to_string() {
        "1.2.840.113549.1.5.13" => {
            let (kdf, cipher) = pair(parameters).ok_or(MALFORMED)?;
            if kdf.oid.to_string() == "1.3.6.1.4.1.11591.4.11" {
                let info = EncryptedPrivateKeyInfo::try_from(der).map_err(|_| unsupported(&cipher.oid))?;
                return info.decrypt(password).map(|key| key.as_bytes().to_vec()).map_err(|_| BAD_PASSWORD);
            }
            let object = cipher.oid.to_string();
            let (_, _, size, open) = CIPHERS.iter().find(|row| row.1 == object).ok_or_else(|| unsupported(&cipher.oid))?;
            let vector = cipher.parameters.and_then(|any| any.decode_as::<OctetStringRef<'_>>().ok()).ok_or(MALFORMED)?;
            let key = second(&kdf, password, *size)?;
            open(data, &key, vector.as_bytes()).ok_or(BAD_PASSWORD)
        }
        "1.2.840.113549.1.12.1.3" => twelfth(parameters, password, 24, |key, iv| open::<cbc::Decryptor<des::TdesEde3>>(data, key, iv)),
        "1.2.840.113549.1.12.1.4" => twelfth(parameters, password, 16, |key, iv| open::<cbc::Decryptor<des::TdesEde2>>(data, key, iv)),
        _ => Err(unsupported(&scheme.oid)),
    }
}

/// The algorithm of an encrypted key, and the data.
fn envelope(der: &[u8]) -> Option<(AlgorithmIdentifierRef<'_>, &[u8])> {
    let any = AnyRef::from_der(der).ok()?;
    let mut reader = SliceReader::new((any.tag() == Tag::Sequence).then(|| any.value())?).ok()?;
    let scheme = reader.decode().ok()?;
    Some((scheme, reader.decode::<OctetStringRef<'_>>().ok()?.as_bytes()))
}

fn pair(any: AnyRef<'_>) -> Option<(AlgorithmIdentifierRef<'_>, AlgorithmIdentifierRef<'_>)> {
    let mut reader = SliceReader::new((any.tag() == Tag::Sequence).then(|| any.value())?).ok()?;
    Some((reader.decode().ok()?, reader.decode().ok()?))
}

fn unsupported(object: &ObjectIdentifier) -> Closed {
    let object = object.to_string();
    LEGACY.iter().find(|row| row.0 == object).map_or(UNKNOWN, |row| row.1)
}

/// A key of PBKDF2 (PKCS #5, version 2).
fn second(kdf: &AlgorithmIdentifierRef<'_>, password: &[u8], size: usize) -> Result<Vec<u8>, Closed> {
    if kdf.oid.to_string() != "1.2.840.113549.1.5.12" {
        return Err(UNKNOWN);
    }
    let any = kdf.parameters.filter(|any| any.tag() == Tag::Sequence).ok_or(MALFORMED)?;
    let mut reader = SliceReader::new(any.value()).map_err(|_| MALFORMED)?;
    let salt: OctetStringRef<'_> = reader.decode().map_err(|_| MALFORMED)?;
    let rounds: u32 = reader.decode().map_err(|_| MALFORMED)?;
    if reader.peek_tag().is_ok_and(|tag| tag == Tag::Integer) {
        reader.decode::<u32>().map_err(|_| MALFORMED)?;
    }
    let function: Option<AlgorithmIdentifierRef<'_>> =
        (!reader.is_finished()).then(|| reader.decode()).transpose().map_err(|_| MALFORMED)?;
    let object = function.map_or_else(|| "1.2.840.113549.2.7".to_owned(), |function| function.oid.to_string());
    let (_, derive) = FUNCTIONS.iter().find(|row| row.0 == object).ok_or(UNKNOWN)?;
    derive(password, salt.as_bytes(), rounds, size).ok_or(MALFORMED)
}

/// Opens what has a key and a vector of PKCS #12.
fn twelfth(
    parameters: AnyRef<'_>,
    password: &[u8],
    size: usize,
    open: impl FnOnce(&[u8], &[u8]) -> Option<Vec<u8>>,
) -> Result<Vec<u8>, Closed> {
    let mut reader = SliceReader::new(parameters.value()).map_err(|_| MALFORMED)?;
    let salt: OctetStringRef<'_> = reader.decode().map_err(|_| MALFORMED)?;
    let rounds: i32 = reader.decode().map_err(|_| MALFORMED)?;
    let password = std::str::from_utf8(password).map_err(|_| BAD_PASSWORD)?;
    let derive = |kind, size| derive_key_utf8::<Sha1>(password, salt.as_bytes(), kind, rounds, size).map_err(|_| BAD_PASSWORD);
    open(&derive(Pkcs12KeyType::EncryptionKey, size)?, &derive(Pkcs12KeyType::Iv, 8)?).ok_or(BAD_PASSWORD)
}

/// The key inside of a block with a `DEK-Info` header: a cipher and a vector in hexadecimal digits.
///
/// # Errors
/// As for [`pkcs8`].
pub(super) fn traditional(der: &[u8], info: &str, password: &[u8]) -> Result<Vec<u8>, Closed> {
    let (name, digits) = info.split_once(',').ok_or(UNKNOWN)?;
    let (_, _, size, open) = CIPHERS.iter().find(|row| row.0.eq_ignore_ascii_case(name.trim())).ok_or(UNKNOWN)?;
    let iv = hexadecimal(digits.trim()).ok_or("error:04800067:PEM routines::bad iv chars")?;
    let salt = iv.get(..8).ok_or("error:04800067:PEM routines::bad iv chars")?;
    open(der, &derive(password, salt, *size), &iv).ok_or(BAD_OLD_PASSWORD)
}

fn open<C: KeyIvInit + BlockDecryptMut>(der: &[u8], key: &[u8], iv: &[u8]) -> Option<Vec<u8>> {
    let plain = C::new_from_slices(key, iv).ok()?.decrypt_padded_vec_mut::<Pkcs7>(der).ok()?;
    // Of a wrong password one in 256 gives a good padding.
    AnyRef::from_der(&plain).is_ok().then_some(plain)
}

/// OpenSSL's key derivation of old: MD5 once over what came before, the password and the salt.
fn derive(password: &[u8], salt: &[u8], size: usize) -> Vec<u8> {
    let mut key: Vec<u8> = Vec::new();
    let mut last: Vec<u8> = Vec::new();
    while key.len() < size {
        last = Md5::new().chain_update(&last).chain_update(password).chain_update(salt).finalize().to_vec();
        key.extend_from_slice(&last);
    }
    key.truncate(size);
    key
}

fn hexadecimal(digits: &str) -> Option<Vec<u8>> {
    let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    if !digits.len().is_multiple_of(2) {
        return None;
    }
    digits.as_bytes().chunks_exact(2).map(|pair| Some(digit(*pair.first()?)? << 4 | digit(*pair.last()?)?)).collect()
}
