//! Stored passwords: `{PLAIN}`, `{SHA}`, `{SSHA}`, Apache's `$apr1$` (nginx manual, `auth_basic_user_file`), and the
//! forms of crypt(3) with a `$`: `$1$` (MD5), `$5$` and `$6$` (SHA-2), `$2a$`, `$2b$`, `$2y$` (bcrypt). All others are asked of the
//! system's crypt(3).

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use md5::{Digest, Md5};
use sha_crypt::{PasswordVerifier, ShaCrypt};
use sha1::Sha1;

/// Whether `password` is what `stored` was made from; `None` if the form of `stored` is not known.
pub(super) fn verify(password: &[u8], stored: &[u8]) -> Option<bool> {
    if let Some(plain) = stored.strip_prefix(b"{PLAIN}") {
        return Some(constant_time_eq(password, plain));
    }
    if let Some(digest) = stored.strip_prefix(b"{SHA}") {
        let made = STANDARD.encode(Sha1::digest(password));
        return Some(constant_time_eq(made.as_bytes(), digest));
    }
    if let Some(salted) = stored.strip_prefix(b"{SSHA}") {
        let decoded = STANDARD.decode(salted).ok();
        let parts = decoded.as_ref().and_then(|d| d.split_at_checked(20));
        return Some(parts.is_some_and(|(digest, salt)| {
            let made = Sha1::new().chain_update(password).chain_update(salt).finalize();
            constant_time_eq(&made, digest)
        }));
    }
    for magic in [&b"$apr1$"[..], b"$1$"] {
        if let Some(rest) = stored.strip_prefix(magic) {
            let salt = rest.split(|b| *b == b'$').next().unwrap_or_default();
            let salt = salt.get(..8).unwrap_or(salt);
            return Some(constant_time_eq(&md5_crypt(password, salt, magic), stored));
        }
    }
    let text = std::str::from_utf8(stored).ok()?;
    if text.starts_with("$5$") || text.starts_with("$6$") {
        return Some(ShaCrypt::default().verify_password(password, text).is_ok());
    }
    if text.starts_with("$2") {
        return Some(bcrypt::verify(password, text).unwrap_or(false));
    }
    sys::crypt::crypt(password, stored).map(|made| constant_time_eq(&made, stored))
}

/// Compares in a time that does not depend on where the difference is.
fn constant_time_eq(a: &[u8], b: &[u8]) -> bool {
    a.len() == b.len() && a.iter().zip(b).fold(0, |difference, (x, y)| difference | (x ^ y)) == 0
}

/// The MD5 scheme of FreeBSD's crypt(3), which Apache took over under another magic: MAGIC SALT `$` DIGEST.
fn md5_crypt(password: &[u8], salt: &[u8], magic: &[u8]) -> Vec<u8> {
    let inner = Md5::new().chain_update(password).chain_update(salt).chain_update(password).finalize();
    let mut first = Md5::new().chain_update(password).chain_update(magic).chain_update(salt);
    let mut left = password.len();
    while left > 0 {
        let part = left.min(16);
        first.update(inner.get(..part).unwrap_or_default());
        left -= part;
    }
    let mut bits = password.len();
    while bits > 0 {
        first.update(if bits & 1 == 1 { &[0][..] } else { password.get(..1).unwrap_or_default() });
        bits >>= 1;
    }
    let mut digest = first.finalize();
    for round in 0..1000 {
        let odd = round % 2 == 1;
        let mut next = Md5::new();
        next.update(if odd { password } else { &digest });
        if round % 3 != 0 {
            next.update(salt);
        }
        if round % 7 != 0 {
            next.update(password);
        }
        next.update(if odd { &digest[..] } else { password });
        digest = next.finalize();
    }
    let mut out = magic.to_vec();
    out.extend_from_slice(salt);
    out.push(b'$');
    let at = |i: usize| u32::from(digest.get(i).copied().unwrap_or_default());
    for (a, b, c) in [(0, 6, 12), (1, 7, 13), (2, 8, 14), (3, 9, 15), (4, 10, 5)] {
        push_64(&mut out, at(a) << 16 | at(b) << 8 | at(c), 4);
    }
    push_64(&mut out, at(11), 2);
    out
}

/// Appends `count` digits of base 64 in crypt's alphabet, the least significant first.
fn push_64(out: &mut Vec<u8>, mut value: u32, count: usize) {
    const DIGITS: &[u8; 64] = b"./0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
    for _ in 0..count {
        out.extend(DIGITS.get((value & 63) as usize));
        value >>= 6;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forms_of_stored_passwords() {
        // Made with openssl passwd and crypt(3).
        for (stored, password) in [
            ("{PLAIN}secret", "secret"),
            ("sa3tHJ3/KuYvI", "password"),
            ("$y$j9T$F5Jx5fExrKuPp53xLKQ..1$tnSYvahCwPBHKZUspmcxMfb0.WiB9W.zEaKlOBL35rC", "password"),
            ("{SHA}5en6G6MezRroT3XKqkdPOmY/BfQ=", "secret"),
            ("$apr1$xyzSALT1$.eWsQnZemtc7siKtawOwr/", "secret"),
            ("$1$saltsalt$9xy1btjgzLYfb7hivXtC//", "secret"),
            ("$6$abcSALT123$slLz0Sd9DL8pRTKYwpqvBpAjLMFvK4a9cY4zgxkb9mLkGlpSoOamszNCRUDSZ/Ljh6d1iiF0t9l8AuEj.iy8i.", "secret"),
            ("$5$abcSALT123$3O6BMU77mMcJ4f/aYelyaxD.sT/GvA2KRC4an7ypf4B", "secret"),
            ("$2b$04$abcdefghijklmnopqrstuu2r9OfJnfCsdneAXAGHnS4UpFFP8WIrW", "secret"),
        ] {
            assert_eq!(verify(password.as_bytes(), stored.as_bytes()), Some(true), "{stored}");
            assert_eq!(verify(b"wrong", stored.as_bytes()), Some(false), "{stored}");
        }
        assert_eq!(verify(b"x", b"{SSHA}short"), Some(false));
        assert_eq!(verify(b"x", b"$unknown$form"), None);
    }

    #[test]
    fn salted_sha() {
        let salt = b"abcd";
        let mut bytes = Sha1::new().chain_update(b"pass").chain_update(salt).finalize().to_vec();
        bytes.extend_from_slice(salt);
        let stored = format!("{{SSHA}}{}", STANDARD.encode(bytes));
        assert_eq!(verify(b"pass", stored.as_bytes()), Some(true));
        assert_eq!(verify(b"past", stored.as_bytes()), Some(false));
    }
}
