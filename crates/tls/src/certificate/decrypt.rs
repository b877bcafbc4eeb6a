//! Encrypted private keys: PKCS #8, and OpenSSL's older form with headers in the PEM block.

use aes::cipher::block_padding::Pkcs7;
use aes::cipher::{BlockDecryptMut, KeyIvInit};
use md5::{Digest, Md5};
use pkcs8::EncryptedPrivateKeyInfo;

/// The PKCS #8 key inside of an encrypted one; `None` when the password is wrong or the cipher unknown.
pub(super) fn pkcs8(der: &[u8], password: &[u8]) -> Option<Vec<u8>> {
    let info = EncryptedPrivateKeyInfo::try_from(der).ok()?;
    Some(info.decrypt(password).ok()?.as_bytes().to_vec())
}

/// The key inside of a block with a `DEK-Info` header: a cipher and a vector in hexadecimal digits.
pub(super) fn traditional(der: &[u8], info: &str, password: &[u8]) -> Option<Vec<u8>> {
    let (cipher, digits) = info.split_once(',')?;
    let iv = hexadecimal(digits.trim())?;
    let salt = iv.get(..8)?;
    let plain = |size: usize| derive(password, salt, size);
    match cipher.trim() {
        "AES-128-CBC" => open::<cbc::Decryptor<aes::Aes128>>(der, &plain(16), &iv),
        "AES-192-CBC" => open::<cbc::Decryptor<aes::Aes192>>(der, &plain(24), &iv),
        "AES-256-CBC" => open::<cbc::Decryptor<aes::Aes256>>(der, &plain(32), &iv),
        "DES-EDE3-CBC" => open::<cbc::Decryptor<des::TdesEde3>>(der, &plain(24), &iv),
        "DES-CBC" => open::<cbc::Decryptor<des::Des>>(der, &plain(8), &iv),
        _ => None,
    }
}

fn open<C: KeyIvInit + BlockDecryptMut>(der: &[u8], key: &[u8], iv: &[u8]) -> Option<Vec<u8>> {
    C::new_from_slices(key, iv).ok()?.decrypt_padded_vec_mut::<Pkcs7>(der).ok()
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
