//! Percent-escapes, in the classes that nginx's modules and `ngx.escape_uri` use.

use super::hex;
use crate::narrow;

/// Which bytes are escaped. The names are nginx's `NGX_ESCAPE_*`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// A path to be sent on: everything RFC 3986 forbids, and space, `#`, `%`, `?`.
    Uri,
    /// An argument: as [`Class::Uri`], and `&`, `+`, `;`.
    Args,
    /// A component: everything but letters, digits, `-`, `.`, `_`, `~`.
    UriComponent,
    /// For an attribute in HTML: as [`Class::Uri`] with quotes, without `?`.
    Html,
    /// A redirect target that is already escaped: `%` and `#` stay.
    Refresh,
    /// A memcached key: space, `%` and control bytes.
    Memcached,
    /// Headers of the mail authentication protocol: as [`Class::Memcached`].
    MailAuth,
    /// SMTP xtext (RFC 3461, 4): `+` introduces an escape.
    MailXtext,
}

const OUTSIDE: &[u8] = b" \"<>\\^`{|}";

/// Whether a set has a byte, where that is asked when the program is made.
#[must_use]
pub const fn holds(set: &[u8], byte: u8) -> bool {
    let mut i = 0;
    while i < set.len() {
        if set[i] == byte {
            return true;
        }
        i += 1;
    }
    false
}

const fn table(extra: &[u8], outside: &[u8]) -> [bool; 256] {
    let mut table = [false; 256];
    let mut i = 0;
    while i < 256 {
        let byte = narrow::byte(i);
        table[i] = byte < 0x20 || byte >= 0x7f || holds(outside, byte) || holds(extra, byte);
        i += 1;
    }
    table
}

/// The table that escapes all but letters, digits and these.
#[must_use]
pub const fn all_but(marks: &[u8]) -> [bool; 256] {
    let mut table = [true; 256];
    let mut i = 0;
    while i < 256 {
        let byte = narrow::byte(i);
        table[i] = !(byte.is_ascii_alphanumeric() || holds(marks, byte));
        i += 1;
    }
    table
}

const fn key() -> [bool; 256] {
    let mut table = [false; 256];
    let mut i = 0;
    while i < 256 {
        let byte = narrow::byte(i);
        table[i] = byte <= 0x20 || byte == b'%';
        i += 1;
    }
    table
}

static URI: [bool; 256] = table(b"#%?", OUTSIDE);
static ARGS: [bool; 256] = table(b"#%?&+;", OUTSIDE);
static COMPONENT: [bool; 256] = all_but(b"-._~");
static HTML: [bool; 256] = table(b"#%'", OUTSIDE);
// nginx's bit map for this class has `~` where `}` belongs; the bytes sent must not differ.
static REFRESH: [bool; 256] = table(b"'", b" \"<>\\^`{|~");
static KEY: [bool; 256] = key();
static XTEXT: [bool; 256] = table(b"+=", b" ");

impl Class {
    fn escapes(self) -> &'static [bool; 256] {
        match self {
            Self::Uri => &URI,
            Self::Args => &ARGS,
            Self::UriComponent => &COMPONENT,
            Self::Html => &HTML,
            Self::Refresh => &REFRESH,
            Self::Memcached | Self::MailAuth => &KEY,
            Self::MailXtext => &XTEXT,
        }
    }
}

/// Appends `text` to `out`, escaped for `class`. Runs that need no escape are copied whole.
pub fn escape(text: &[u8], class: Class, out: &mut Vec<u8>) {
    const DIGITS: &[u8; 16] = b"0123456789ABCDEF";
    let table = class.escapes();
    let mark = if class == Class::MailXtext { b'+' } else { b'%' };
    let digit = |nibble: u8| DIGITS.get(usize::from(nibble & 15)).copied().unwrap_or(b'0');
    out.reserve(text.len());
    let mut rest = text;
    while let Some(at) = rest.iter().position(|&b| table.get(usize::from(b)) == Some(&true)) {
        let (run, tail) = rest.split_at(at);
        out.extend_from_slice(run);
        if let Some((&byte, tail)) = tail.split_first() {
            out.extend_from_slice(&[mark, digit(byte >> 4), digit(byte)]);
            rest = tail;
        }
    }
    out.extend_from_slice(rest);
}

/// What stands for a space, and what an escape that is none becomes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unescape {
    /// nginx's own: `+` stays, a bad escape loses its `%`.
    Plain,
    /// `ngx.unescape_uri` and the argument decoders of the Lua API: `+` is a space, a bad escape
    /// stays as it is.
    Form,
}

/// Appends `text` to `out` with its escapes decoded.
pub fn unescape(text: &[u8], how: Unescape, out: &mut Vec<u8>) {
    out.reserve(text.len());
    let mut rest = text;
    while let Some((&byte, tail)) = rest.split_first() {
        rest = tail;
        match byte {
            b'%' => {
                let high = rest.first().copied().and_then(hex);
                let low = rest.get(1).copied().and_then(hex);
                match (high, low, how) {
                    (Some(high), Some(low), _) => {
                        out.push((high << 4) | low);
                        rest = rest.get(2..).unwrap_or(&[]);
                    }
                    (_, _, Unescape::Form) => out.push(b'%'),
                    // nginx keeps the byte after the `%` when it is no digit, and loses both
                    // when only the second is wrong.
                    (None, _, Unescape::Plain) => {
                        out.extend(rest.first());
                        rest = rest.get(1..).unwrap_or(&[]);
                    }
                    (Some(_), None, Unescape::Plain) => rest = rest.get(2..).unwrap_or(&[]),
                }
            }
            b'+' if how == Unescape::Form => out.push(b' '),
            _ => out.push(byte),
        }
    }
}

/// Appends `text` to `out` with `<`, `>`, `&` and `"` as entities, as nginx's own pages need.
pub fn escape_html(text: &[u8], out: &mut Vec<u8>) {
    out.reserve(text.len());
    for &byte in text {
        match byte {
            b'<' => out.extend_from_slice(b"&lt;"),
            b'>' => out.extend_from_slice(b"&gt;"),
            b'&' => out.extend_from_slice(b"&amp;"),
            b'"' => out.extend_from_slice(b"&quot;"),
            _ => out.push(byte),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn esc(text: &[u8], class: Class) -> String {
        let mut out = Vec::new();
        escape(text, class, &mut out);
        String::from_utf8(out).unwrap()
    }

    fn unesc(text: &str, how: Unescape) -> Vec<u8> {
        let mut out = Vec::new();
        unescape(text.as_bytes(), how, &mut out);
        out
    }

    /// The bytes from space to `~` that each class escapes, read off nginx's bit maps.
    #[test]
    fn classes() {
        let visible: Vec<u8> = (0x20..0x7f).collect();
        for (class, expected) in [
            (Class::Uri, " \"#%<>?\\^`{|}"),
            (Class::Args, " \"#%&+;<>?\\^`{|}"),
            (Class::UriComponent, " !\"#$%&'()*+,/:;<=>?@[\\]^`{|}"),
            (Class::Html, " \"#%'<>\\^`{|}"),
            (Class::Refresh, " \"'<>\\^`{|~"),
            (Class::Memcached, " %"),
            (Class::MailAuth, " %"),
        ] {
            let escaped: Vec<u8> = visible.iter().copied().filter(|&b| esc(&[b], class).len() > 1).collect();
            assert_eq!(String::from_utf8(escaped).unwrap(), expected, "{class:?}");
        }
        assert_eq!(esc(b"a+b=c", Class::MailXtext), "a+2Bb+3Dc");
        assert_eq!(esc(b"\xe4\x01", Class::Uri), "%E4%01");
    }

    #[test]
    fn decoding() {
        assert_eq!(unesc("a%20b+c", Unescape::Plain), b"a b+c");
        assert_eq!(unesc("a%20b+c", Unescape::Form), b"a b c");
        assert_eq!(unesc("%zz%4", Unescape::Form), b"%zz%4");
        assert_eq!(unesc("%zz%4gx%", Unescape::Plain), b"zzx");
        assert_eq!(unesc("%00%ff", Unescape::Plain), b"\0\xff");
    }

    #[test]
    fn components_round_trip() {
        let all: Vec<u8> = (0..=255).collect();
        let text = esc(&all, Class::UriComponent);
        assert_eq!(unesc(&text, Unescape::Plain), all);
        assert_eq!(unesc(&text, Unescape::Form), all);
    }

    #[test]
    fn entities() {
        let mut out = Vec::new();
        escape_html(b"<a href=\"x&y\">'", &mut out);
        assert_eq!(out, b"&lt;a href=&quot;x&amp;y&quot;&gt;'");
    }
}
