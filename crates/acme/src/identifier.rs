//! What a certificate is for: names and addresses (RFC 8555, 9.7.7; RFC 8738).

use serde::Serialize;
use std::fmt;
use std::net::IpAddr;

/// A name or an address.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(tag = "type", content = "value", rename_all = "lowercase")]
pub(crate) enum Identifier {
    /// A name in lower case.
    Dns(String),
    /// An address.
    Ip(IpAddr),
}

impl fmt::Display for Identifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Identifier::Dns(name) => f.write_str(name),
            Identifier::Ip(address) => address.fmt(f),
        }
    }
}

/// Why a word is no identifier.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NameError {
    /// A byte that no name has, and where.
    Invalid(u8, usize),
    /// A character out of place.
    Unexpected(char, usize),
    /// The end is a dot or an asterisk.
    NotALabel,
}

impl fmt::Display for NameError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            NameError::Invalid(byte, at) => write!(f, "invalid server name: invalid character {byte:x} at position {at}"),
            NameError::Unexpected(char, at) => write!(f, "invalid server name: unexpected character '{char}' at position {at}"),
            NameError::NotALabel => f.write_str("invalid server name: does not end with a label"),
        }
    }
}

impl std::error::Error for NameError {}

/// The identifiers that a word of `acme_certificate` or `server_name` means: `.example.com` is two.
///
/// # Errors
/// It is none.
pub(crate) fn read(word: &[u8]) -> Result<Vec<Identifier>, NameError> {
    if let Some(address) = std::str::from_utf8(word).ok().and_then(|text| text.parse().ok()) {
        return Ok(vec![Identifier::Ip(address)]);
    }
    validate(word)?;
    let name = String::from_utf8_lossy(word).to_ascii_lowercase();
    Ok(match name.strip_prefix('.') {
        Some(host) => vec![Identifier::Dns(format!("www.{host}")), Identifier::Dns(host.to_owned())],
        None => vec![Identifier::Dns(name)],
    })
}

/// Where in a name the reader is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum At {
    Start,
    Label,
    Dot,
    Wildcard,
}

/// A name that can stand in `Host`, with a dot or `*.` before it.
fn validate(name: &[u8]) -> Result<(), NameError> {
    let mut at = At::Start;
    for (i, &byte) in name.iter().enumerate() {
        at = match byte {
            0..=0x20 | 0x7f.. => return Err(NameError::Invalid(byte, i)),
            b'*' if at == At::Start => At::Wildcard,
            b'.' if at != At::Dot => At::Dot,
            b'0'..=b'9' | b'A'..=b'Z' | b'a'..=b'z' | b'-' | b'_' | b'~' | b'%' if at != At::Wildcard => At::Label,
            b'!' | b'$' | b'&' | b'\'' | b'(' | b')' | b'+' | b',' | b';' | b'=' if at != At::Wildcard => At::Label,
            _ => return Err(NameError::Unexpected(char::from(byte), i)),
        };
    }
    if at == At::Label { Ok(()) } else { Err(NameError::NotALabel) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words() {
        let dns = |name: &str| Identifier::Dns(name.to_owned());
        let table = [
            ("Example.TEST", Ok(vec![dns("example.test")])),
            (".example.test", Ok(vec![dns("www.example.test"), dns("example.test")])),
            ("*.example.test", Ok(vec![dns("*.example.test")])),
            ("192.0.2.1", Ok(vec![Identifier::Ip("192.0.2.1".parse().unwrap())])),
            ("2001:DB8::1", Ok(vec![Identifier::Ip("2001:db8::1".parse().unwrap())])),
            ("", Err(NameError::NotALabel)),
            ("*.", Err(NameError::NotALabel)),
            ("a.", Err(NameError::NotALabel)),
            ("a..b", Err(NameError::Unexpected('.', 2))),
            ("www.example.*", Err(NameError::Unexpected('*', 12))),
            ("*a", Err(NameError::Unexpected('a', 1))),
            ("a/b", Err(NameError::Unexpected('/', 1))),
            ("a\u{1}", Err(NameError::Invalid(1, 1))),
            ("ä", Err(NameError::Invalid(0xc3, 0))),
        ];
        for (word, expected) in table {
            assert_eq!(read(word.as_bytes()), expected, "{word}");
        }
    }

    #[test]
    fn they_are_written_as_the_server_reads_them() {
        let all = [read(b"a.test").unwrap(), read(b"192.0.2.1").unwrap()].concat();
        let text = serde_json::to_string(&all).unwrap();
        assert_eq!(text, r#"[{"type":"dns","value":"a.test"},{"type":"ip","value":"192.0.2.1"}]"#);
    }
}
