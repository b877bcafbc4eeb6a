//! Encodes a request: its beginning, its parameters, its body.

use crate::cgi::{Name, Pairs};

/// Length of a record's header, bytes.
pub const HEADER: usize = 8;
/// Body bytes of one record, as nginx sends them; a multiple of eight, so that only the last record is padded.
pub const BODY: u16 = 32 * 1024;

/// Most bytes of one record of parameters that needs no padding.
const PARAMS: usize = 65_528;

const BEGIN_REQUEST: u8 = 1;
const PARAMS_TYPE: u8 = 4;
const STDIN: u8 = 5;
const RESPONDER: u8 = 1;
const KEEP_CONN: u8 = 1;

/// Parameters as FastCGI writes them.
pub struct FastCgi;

impl Pairs for FastCgi {
    fn push(out: &mut Vec<u8>, name: Name<'_>, value: impl FnOnce(&mut Vec<u8>)) {
        push_length(out, name.len());
        let at = out.len();
        out.push(0);
        name.push(out);
        let from = out.len();
        value(out);
        let length = out.len() - from;
        match u8::try_from(length) {
            Ok(short) if short < 128 => {
                if let Some(place) = out.get_mut(at) {
                    *place = short;
                }
            }
            _ => drop(out.splice(at..=at, long(length))),
        }
    }
}

fn push_length(out: &mut Vec<u8>, length: usize) {
    match u8::try_from(length) {
        Ok(short) if short < 128 => out.push(short),
        _ => out.extend_from_slice(&long(length)),
    }
}

/// A length of 31 bits; memory ends before a value can be longer.
fn long(length: usize) -> [u8; 4] {
    (u32::try_from(length).unwrap_or(u32::MAX) | 0x8000_0000).to_be_bytes()
}

fn header(kind: u8, length: u16, padding: u8) -> [u8; HEADER] {
    let [high, low] = length.to_be_bytes();
    [1, kind, 0, 1, high, low, padding, 0]
}

/// Begins a request and its parameters; [`close`] gets what this returns.
pub fn open(out: &mut Vec<u8>, keep: bool) -> usize {
    out.extend_from_slice(&header(BEGIN_REQUEST, 8, 0));
    out.extend_from_slice(&[0, RESPONDER, if keep { KEEP_CONN } else { 0 }, 0, 0, 0, 0, 0]);
    out.extend_from_slice(&[0; HEADER]);
    out.len()
}

/// Ends the parameters that began at `start`. More than one record holds become several.
pub fn close(out: &mut Vec<u8>, start: usize) {
    let length = out.len().saturating_sub(start);
    let front = start.saturating_sub(HEADER);
    match u16::try_from(length) {
        Ok(0) => out.truncate(front),
        Ok(length) => {
            let padding = padding(u64::from(length));
            if let Some(place) = out.get_mut(front..start) {
                place.copy_from_slice(&header(PARAMS_TYPE, length, padding));
            }
            out.resize(out.len() + usize::from(padding), 0);
        }
        Err(_) => {
            let all = out.split_off(start);
            out.truncate(front);
            for part in all.chunks(PARAMS) {
                // It fits: the parts are that small.
                let length = u16::try_from(part.len()).unwrap_or(u16::MAX);
                let padding = padding(u64::from(length));
                out.extend_from_slice(&header(PARAMS_TYPE, length, padding));
                out.extend_from_slice(part);
                out.resize(out.len() + usize::from(padding), 0);
            }
        }
    }
    out.extend_from_slice(&header(PARAMS_TYPE, 0, 0));
}

/// Bytes that fill a record up to a multiple of eight.
fn padding(length: u64) -> u8 {
    // Below eight.
    ((8 - length % 8) % 8) as u8
}

/// The header of a record with `length` bytes of the body.
#[must_use]
pub fn body_header(length: u16) -> [u8; HEADER] {
    header(STDIN, length, padding(u64::from(length)))
}

/// What follows the last record of a body of `length` bytes: its padding, and the record that ends the body.
#[must_use]
pub fn body_end(length: u64) -> &'static [u8] {
    const END: [u8; 15] = [0, 0, 0, 0, 0, 0, 0, 1, STDIN, 0, 1, 0, 0, 0, 0];
    END.get(7 - usize::from(padding(length))..).unwrap_or(&END)
}

/// Appends records of a body that comes bit by bit; [`body_end`] of nothing follows the last one.
pub fn push_body(out: &mut Vec<u8>, data: &[u8]) {
    for part in data.chunks(usize::from(BODY)) {
        let length = u16::try_from(part.len()).unwrap_or(u16::MAX);
        out.extend_from_slice(&body_header(length));
        out.extend_from_slice(part);
        out.resize(out.len() + usize::from(padding(u64::from(length))), 0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request() {
        let mut out = Vec::new();
        let start = open(&mut out, true);
        FastCgi::push(&mut out, Name::Given(b"A"), |out| out.extend_from_slice(b"bc"));
        FastCgi::push(&mut out, Name::Header(b"x-y"), |_| {});
        close(&mut out, start);
        let begin = b"\x01\x01\0\x01\0\x08\0\0\0\x01\x01\0\0\0\0\0";
        let params = b"\x01\x04\0\x01\0\x0f\x01\0\x01\x02Abc\x08\0HTTP_X_Y\0";
        assert_eq!(out, [&begin[..], params, b"\x01\x04\0\x01\0\0\0\0"].concat());
        assert_eq!(body_end(0), b"\x01\x05\0\x01\0\0\0\0");
        assert_eq!(body_end(7), b"\0\x01\x05\0\x01\0\0\0\0");
        assert_eq!(body_end(BODY.into()), body_end(0));
    }

    #[test]
    fn long_values_and_more_than_a_record_holds() {
        let mut out = Vec::new();
        FastCgi::push(&mut out, Name::Given(b"A"), |out| out.resize(out.len() + 128, b'x'));
        assert!(out.starts_with(b"\x01\x80\0\0\x80Ax") && out.len() == 1 + 4 + 1 + 128);
        let mut out = Vec::new();
        let start = open(&mut out, false);
        FastCgi::push(&mut out, Name::Given(b"A"), |out| out.resize(out.len() + 70_000, b'x'));
        close(&mut out, start);
        let (mut at, mut params, mut records) = (16, Vec::new(), 0);
        while let Some(&[1, 4, 0, 1, high, low, padding, 0]) = out.get(at..at + 8) {
            let length = usize::from(u16::from_be_bytes([high, low]));
            params.extend_from_slice(&out[at + 8..at + 8 + length]);
            at += 8 + length + usize::from(padding);
            records += 1;
        }
        assert_eq!((at, records), (out.len(), 3));
        assert_eq!(params.len(), 1 + 4 + 1 + 70_000);
    }

    #[test]
    fn a_body_bit_by_bit() {
        let mut out = Vec::new();
        push_body(&mut out, b"hello");
        assert_eq!(out, b"\x01\x05\0\x01\0\x05\x03\0hello\0\0\0");
        out.clear();
        push_body(&mut out, b"");
        assert!(out.is_empty());
    }
}
