//! Keys: digests, variants of a response, and the paths of files.

use md5::{Digest as _, Md5};
use std::path::{Path, PathBuf};

/// The MD5 of a key.
pub type Digest = [u8; 16];

/// The MD5 of a key, by which its file is named and its record found.
#[must_use]
pub fn digest(key: &[u8]) -> Digest {
    Md5::digest(key).into()
}

/// The digest of the variant that a request asks for: of the key and all values of the fields that `vary` names.
/// `values` calls its second argument with each value of a field. Spaces around commas make no difference.
pub fn variant(main: &Digest, vary: &[u8], values: impl Fn(&[u8], &mut dyn FnMut(&[u8]))) -> Digest {
    let mut md5 = Md5::new();
    md5.update(main);
    for name in vary.split(|b| *b == b',').map(<[u8]>::trim_ascii).filter(|name| !name.is_empty()) {
        md5.update(name.to_ascii_lowercase());
        md5.update(b":");
        let mut first = true;
        values(name, &mut |value| {
            for part in value.split(|b| *b == b',').map(<[u8]>::trim_ascii).filter(|part| !part.is_empty()) {
                if !std::mem::replace(&mut first, false) {
                    md5.update(b",");
                }
                md5.update(part);
            }
        });
        md5.update(b"\r\n");
    }
    md5.finalize().into()
}

/// The file's name: 32 hexadecimal digits.
#[must_use]
pub fn name(digest: &Digest) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let digit = |nibble: u8| DIGITS.get(usize::from(nibble & 15)).map_or('0', |d| char::from(*d));
    digest.iter().flat_map(|byte| [digit(byte >> 4), digit(*byte)]).collect()
}

/// The digest that a file's name says; `None` for a name of any other kind.
#[must_use]
pub fn parse_name(name: &[u8]) -> Option<Digest> {
    let mut digest = Digest::default();
    if name.len() != 2 * digest.len() || name.iter().any(u8::is_ascii_uppercase) {
        return None;
    }
    for (byte, pair) in digest.iter_mut().zip(name.chunks_exact(2)) {
        *byte = u8::from_str_radix(std::str::from_utf8(pair).ok().filter(|p| !p.starts_with('+'))?, 16).ok()?;
    }
    Some(digest)
}

/// The file of a digest below `root`, its name's end spread over directories: `levels` 1 and 2 are `c/29/b7f54b2df7773722d382f4809d65029c`.
#[must_use]
pub fn path(root: &Path, levels: [u8; 3], digest: &Digest) -> PathBuf {
    let name = name(digest);
    let mut path = root.to_owned();
    let mut end = name.len();
    for level in levels.iter().filter(|level| **level > 0) {
        let start = end.saturating_sub(usize::from(*level));
        path.push(name.get(start..end).unwrap_or_default());
        end = start;
    }
    path.push(name);
    path
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_stand_where_those_of_nginx_do() {
        let digest = parse_name(b"b7f54b2df7773722d382f4809d65029c").unwrap();
        let at = |levels| path(Path::new("/c"), levels, &digest).display().to_string();
        assert_eq!(at([1, 2, 0]), "/c/c/29/b7f54b2df7773722d382f4809d65029c");
        assert_eq!(at([0, 0, 0]), "/c/b7f54b2df7773722d382f4809d65029c");
        assert_eq!(name(&self::digest(b"")), "d41d8cd98f00b204e9800998ecf8427e");
        for wrong in ["b7f54b2df7773722d382f4809d65029", "B7f54b2df7773722d382f4809d65029c", "+7f54b2df7773722d382f4809d65029c"] {
            assert_eq!(parse_name(wrong.as_bytes()), None, "{wrong}");
        }
    }

    #[test]
    fn variants_differ_by_the_values_of_the_named_fields() {
        let main = digest(b"key");
        let of = |vary: &str, value: &'static str| {
            variant(&main, vary.as_bytes(), |name, each| {
                if name.eq_ignore_ascii_case(b"accept-encoding") {
                    each(value.as_bytes());
                }
            })
        };
        assert_eq!(of("Accept-Encoding", "gzip, br"), of("accept-encoding ", "gzip,br"));
        assert_ne!(of("Accept-Encoding", "gzip"), of("Accept-Encoding", "br"));
        assert_ne!(of("Accept-Encoding", "gzip"), of("Accept-Encoding, Origin", "gzip"));
        assert_ne!(of("Origin", "gzip"), main);
    }
}
