//! SCGI: a netstring of parameters in front of the body; the response is a CGI answer.

use crate::cgi::{Name, Pairs};

/// Parameters as SCGI writes them.
pub struct Scgi;

impl Pairs for Scgi {
    fn push(out: &mut Vec<u8>, name: Name<'_>, value: impl FnOnce(&mut Vec<u8>)) {
        name.push(out);
        out.push(0);
        let at = out.len();
        value(out);
        // A NUL would end the value, and what follows would be a parameter of its own.
        if let Some(given) = out.get(at..)
            && memchr::memchr(0, given).is_some()
        {
            let given = out.split_off(at);
            for part in given.split_inclusive(|byte| *byte == 0) {
                match part.split_last() {
                    Some((0, text)) => {
                        out.extend_from_slice(text);
                        out.extend_from_slice(b"%00");
                    }
                    _ => out.extend_from_slice(part),
                }
            }
        }
        out.push(0);
    }
}

/// Room for the longest length and its colon.
const ROOM: usize = 21;

/// Begins the parameters; [`close`] gets what this returns.
pub fn open(out: &mut Vec<u8>) -> usize {
    out.extend_from_slice(&[0; ROOM]);
    out.len()
}

/// Ends the parameters that began at `start`: their length stands in front of them afterwards.
pub fn close(out: &mut Vec<u8>, start: usize) {
    let length = format!("{}:", out.len().saturating_sub(start));
    out.push(b',');
    let from = start.saturating_sub(ROOM);
    out.splice(from..start.min(out.len()), length.into_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_netstring() {
        let mut out = b"x".to_vec();
        let start = open(&mut out);
        Scgi::push(&mut out, Name::Given(b"CONTENT_LENGTH"), |out| out.push(b'0'));
        Scgi::push(&mut out, Name::Header(b"a-b"), |_| {});
        close(&mut out, start);
        assert_eq!(out, b"x27:CONTENT_LENGTH\x000\0HTTP_A_B\0\0,");
    }

    #[test]
    fn a_value_cannot_become_two_parameters() {
        let mut out = Vec::new();
        Scgi::push(&mut out, Name::Given(b"A"), |out| out.extend_from_slice(b"b\0HTTPS\0on"));
        assert_eq!(out, b"A\0b%00HTTPS%00on\0");
    }
}
