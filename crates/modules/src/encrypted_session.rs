//! `set_encrypt_session`, `set_decrypt_session`: values that only this server can read and that expire
//! (encrypted-session-nginx-module's README).
//!
//! The value: the MD5 of text and expiry, then both encrypted by AES-256-CBC. The expiry is in seconds since the epoch, eight bytes,
//! highest first; 0 is never.

use crate::set_misc::{HERE, row};
use aes::Aes256;
use aes::cipher::block_padding::Pkcs7;
use aes::cipher::{BlockDecryptMut, BlockEncryptMut, KeyIvInit};
use base::clock;
use conf::configs::ConfMap;
use conf::context::{Arity, Context};
use conf::row::{Cx, Row};
use conf::scope::{Config, Frame};
use conf::tree::Error;
use http::set_function::CallError;
use http::set_function::{SetFunction, SetFunctions};
use http::{Levels, Module};
use md5::{Digest, Md5};

/// Values that are encrypted.
pub const MODULE: Module = Module { rows, levels, complete, ..Module::named("encrypted_session") };

const KEY: usize = 32;
const IV: usize = 16;
const DIGEST: usize = 16;
const DAY: u64 = 86_400;

const FUNCTIONS: &[SetFunction] = &[
    SetFunction { name: "set_encrypt_session", doc: "Assigns a text encrypted.", call: encrypt_row },
    SetFunction {
        name: "set_decrypt_session",
        doc: "Assigns a text decrypted, nothing if it is forged or has expired.",
        call: decrypt_row,
    },
];

#[derive(Default)]
struct Conf {
    key: Option<[u8; KEY]>,
    iv: Option<[u8; IV]>,
    /// Seconds; 0 is for ever.
    expires: Option<u64>,
}

impl Config for Conf {
    fn inherit(&mut self, parent: &Self) {
        conf::inherit!(self, parent; key, iv, expires);
    }
}

impl Conf {
    fn iv(&self) -> &[u8; IV] {
        self.iv.as_ref().unwrap_or(b"deadbeefdeadbeef")
    }
}

fn levels(levels: &mut Levels) {
    levels.main::<SetFunctions>().location::<Conf>();
}

fn complete(frame: &Frame) -> Result<(), Error> {
    frame.main.get::<SetFunctions>().add(FUNCTIONS);
    Ok(())
}

fn rows() -> Vec<Row> {
    let at = HERE | Context::HTTP;
    let mut rows = vec![
        Row::new("encrypted_session_key", at, Arity::exactly(1), "The key of encrypted values, 32 bytes.", key),
        Row::new("encrypted_session_iv", at, Arity::exactly(1), "The initial vector of encrypted values, 16 bytes at most.", iv),
        Row::new("encrypted_session_expires", at, Arity::exactly(1), "How long encrypted values are good.", |cx| {
            let seconds = cx.time_sec(0)?;
            cx.once(&mut cx.location::<Conf>().expires, seconds)
        }),
    ];
    rows.extend(FUNCTIONS.iter().map(row));
    rows
}

fn key(cx: &mut Cx<'_>) -> Result<(), Error> {
    let Ok(key) = <[u8; KEY]>::try_from(cx.arg(0)) else {
        return Err(cx.error_at(0, format!("encrypted_session_key: the key must be of {KEY} bytes long")));
    };
    cx.once(&mut cx.location::<Conf>().key, key)
}

fn iv(cx: &mut Cx<'_>) -> Result<(), Error> {
    let (given, mut iv) = (cx.arg(0), [0; IV]);
    let Some(place) = iv.get_mut(..given.len()) else {
        return Err(cx.error_at(0, format!("encrypted_session_iv: the init vector must NOT be longer than {IV} bytes")));
    };
    place.copy_from_slice(given);
    cx.once(&mut cx.location::<Conf>().iv, iv)
}

/// The key of the request's location.
fn key_of(conf: &Conf) -> Result<&[u8; KEY], CallError> {
    conf.key.as_ref().ok_or_else(|| "encrypted_session: a key is required to be defined by the encrypted_session_key directive".into())
}

fn now() -> u64 {
    u64::try_from(clock::now().sec).unwrap_or_default()
}

fn encrypt_row(conf: &ConfMap, text: &[u8], out: &mut Vec<u8>) -> Result<(), CallError> {
    let conf = conf.share::<Conf>().unwrap_or_default();
    let until = match conf.expires.unwrap_or(DAY) {
        0 => 0,
        seconds => now().saturating_add(seconds),
    };
    encrypt(key_of(&conf)?, conf.iv(), text, until, out);
    Ok(())
}

fn decrypt_row(conf: &ConfMap, value: &[u8], out: &mut Vec<u8>) -> Result<(), CallError> {
    let conf = conf.share::<Conf>().unwrap_or_default();
    out.extend_from_slice(&decrypt(key_of(&conf)?, conf.iv(), value, now()).unwrap_or_default());
    Ok(())
}

fn encrypt(key: &[u8; KEY], iv: &[u8; IV], text: &[u8], until: u64, out: &mut Vec<u8>) {
    let mut plain = text.to_vec();
    plain.extend_from_slice(&until.to_be_bytes());
    out.extend_from_slice(&Md5::digest(&plain));
    out.extend_from_slice(&cbc::Encryptor::<Aes256>::new(key.into(), iv.into()).encrypt_padded_vec_mut::<Pkcs7>(&plain));
}

/// The text; `None` if the value is no such value, is of another key, or has expired.
fn decrypt(key: &[u8; KEY], iv: &[u8; IV], value: &[u8], now: u64) -> Option<Vec<u8>> {
    let (digest, sealed) = value.split_at_checked(DIGEST)?;
    let mut plain = cbc::Decryptor::<Aes256>::new(key.into(), iv.into()).decrypt_padded_vec_mut::<Pkcs7>(sealed).ok()?;
    let (_, until) = plain.split_last_chunk::<8>()?;
    let until = u64::from_be_bytes(*until);
    if *digest != *Md5::digest(&plain) || (until != 0 && until <= now) {
        return None;
    }
    plain.truncate(plain.len() - size_of::<u64>());
    Some(plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_expire_and_cannot_be_forged() {
        let (key, iv) = (b"abcdefghijklmnopqrstuvwxyz123456", b"1234567812345678");
        let sealed = |text: &[u8], until: u64| {
            let mut out = Vec::new();
            encrypt(key, iv, text, until, &mut out);
            out
        };
        for text in [&b""[..], b"abc", b"0123456789abcdef", &[255; 100]] {
            let value = sealed(text, 100);
            assert_eq!(decrypt(key, iv, &value, 99).as_deref(), Some(text));
            assert_eq!(decrypt(key, iv, &value, 100), None);
            assert_eq!(decrypt(key, iv, &sealed(text, 0), u64::MAX).as_deref(), Some(text));
            assert_eq!(decrypt(b"abcdefghijklmnopqrstuvwxyz123457", iv, &value, 0), None);
            for at in 0..value.len() {
                let mut forged = value.clone();
                forged[at] ^= 1;
                assert_eq!(decrypt(key, iv, &forged, 0), None, "{at}");
                assert_eq!(decrypt(key, iv, &value[..at], 0), None, "{at}");
            }
        }
    }
}
