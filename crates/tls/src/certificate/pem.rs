//! PEM: labelled blocks of base64, with the headers that old encrypted keys have.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use std::fmt;

/// One block.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Block<'a> {
    /// What stands behind `BEGIN`.
    pub(crate) label: &'a str,
    /// `DEK-Info` of an encrypted block.
    pub(crate) encryption: Option<&'a str>,
    /// The content.
    pub(crate) der: Vec<u8>,
}

/// A block begins and is not well-formed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum PemError {
    /// No line ends it, or another one's does.
    BadEnd,
    /// Its content is no base64.
    BadBase64,
}

/// OpenSSL's words.
impl fmt::Display for PemError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.text())
    }
}

impl std::error::Error for PemError {}

impl PemError {
    /// OpenSSL's words.
    pub(crate) fn text(self) -> &'static str {
        match self {
            PemError::BadEnd => "error:04800066:PEM routines::bad end line",
            PemError::BadBase64 => "error:04800064:PEM routines::bad base64 decode",
        }
    }
}

/// What editors put before a text in UTF-8.
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// The blocks of a text, in order; everything between them is a comment. Ends behind the first error.
pub(crate) fn blocks(text: &[u8]) -> impl Iterator<Item = Result<Block<'_>, PemError>> {
    let text = text.strip_prefix(BYTE_ORDER_MARK).unwrap_or(text);
    let mut lines = text.split(|byte| *byte == b'\n').map(|line| line.trim_ascii());
    let mut dead = false;
    std::iter::from_fn(move || {
        if dead {
            return None;
        }
        let label = lines.find_map(|line| mark(line, b"-----BEGIN "))?;
        let block = block(label, &mut lines);
        dead = block.is_err();
        Some(block)
    })
}

fn block<'a>(label: &'a str, lines: &mut impl Iterator<Item = &'a [u8]>) -> Result<Block<'a>, PemError> {
    let mut encryption = None;
    let mut base64 = Vec::new();
    loop {
        let line = lines.next().ok_or(PemError::BadEnd)?;
        if let Some(end) = mark(line, b"-----END ") {
            if end != label {
                return Err(PemError::BadEnd);
            }
            break;
        }
        if line.contains(&b':') {
            if let Some(info) = line.strip_prefix(b"DEK-Info:") {
                encryption = std::str::from_utf8(info).ok().map(str::trim);
            }
        } else {
            base64.extend_from_slice(line);
        }
    }
    let der = STANDARD.decode(&base64).map_err(|_| PemError::BadBase64)?;
    Ok(Block { label, encryption, der })
}

fn mark<'a>(line: &'a [u8], start: &[u8]) -> Option<&'a str> {
    std::str::from_utf8(line.strip_prefix(start)?.strip_suffix(b"-----")?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_are_found_between_other_text() {
        let text = b"subject=x\r\n-----BEGIN A-----\r\nAAEC\r\nAw==\r\n-----END A-----\nrest\n\
            -----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: AES-128-CBC,00ff\n\nBAUG\n-----END RSA PRIVATE KEY-----";
        let found: Vec<_> = blocks(text).map(Result::unwrap).collect();
        assert_eq!(found[0], Block { label: "A", encryption: None, der: vec![0, 1, 2, 3] });
        assert_eq!((found[1].encryption, &found[1].der[..]), (Some("AES-128-CBC,00ff"), &[4, 5, 6][..]));
    }

    #[test]
    fn broken_blocks_are_errors() {
        for (text, error) in [
            ("-----BEGIN A-----\nAAEC", PemError::BadEnd),
            ("-----BEGIN A-----\nAAEC\n-----END B-----", PemError::BadEnd),
            ("-----BEGIN A-----\nA*EC\n-----END A-----", PemError::BadBase64),
        ] {
            assert_eq!(blocks(text.as_bytes()).next(), Some(Err(error)), "{text}");
        }
        assert_eq!(blocks(b"nothing").next(), None);
    }

    #[test]
    fn editors_may_mark_a_file() {
        let found = blocks(b"\xef\xbb\xbf-----BEGIN A-----\nAAEC\n-----END A-----").next().unwrap().unwrap();
        assert_eq!((found.label, &found.der[..]), ("A", &[0, 1, 2][..]));
    }
}
