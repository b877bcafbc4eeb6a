//! uwsgi: a block of variables in front of the body; the response is a CGI answer, as a rule with a status line.

use crate::cgi::{Name, Pairs};

/// Most bytes of the variables: their length has 16 bits.
pub const MAX: usize = 65_535;

/// Parameters as uwsgi writes them.
pub struct Uwsgi;

impl Pairs for Uwsgi {
    fn push(out: &mut Vec<u8>, name: Name<'_>, value: impl FnOnce(&mut Vec<u8>)) {
        out.extend_from_slice(&short(name.len()));
        name.push(out);
        let at = out.len();
        out.extend_from_slice(&[0, 0]);
        value(out);
        let length = short(out.len() - at - 2);
        if let Some(place) = out.get_mut(at..at + 2) {
            place.copy_from_slice(&length);
        }
    }
}

/// A length too large for its place makes the block too large as well, and [`close`] refuses that.
fn short(n: usize) -> [u8; 2] {
    u16::try_from(n).unwrap_or(u16::MAX).to_le_bytes()
}

/// Begins a block; [`close`] gets what this returns.
pub fn open(out: &mut Vec<u8>) -> usize {
    out.extend_from_slice(&[0; 4]);
    out.len()
}

/// Ends the block that began at `start`.
///
/// # Errors
/// The length of a block that is too large.
pub fn close(out: &mut [u8], start: usize, modifiers: [u8; 2]) -> Result<(), usize> {
    let length = out.len().saturating_sub(start);
    if length > MAX {
        return Err(length);
    }
    let [low, high] = short(length);
    if let Some(head) = start.checked_sub(4).and_then(|at| out.get_mut(at..start)) {
        head.copy_from_slice(&[modifiers[0], low, high, modifiers[1]]);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_block() {
        let mut out = Vec::new();
        let start = open(&mut out);
        Uwsgi::push(&mut out, Name::Given(b"A"), |out| out.extend_from_slice(b"bc"));
        Uwsgi::push(&mut out, Name::Header(b"x-y"), |_| {});
        close(&mut out, start, [5, 7]).unwrap();
        assert_eq!(out, b"\x05\x13\0\x07\x01\0A\x02\0bc\x08\0HTTP_X_Y\0\0");
    }

    #[test]
    fn a_block_that_does_not_fit_is_refused() {
        let mut out = Vec::new();
        let start = open(&mut out);
        Uwsgi::push(&mut out, Name::Given(b"A"), |out| out.resize(out.len() + 65_530, b'x'));
        assert_eq!(close(&mut out, start, [0, 0]), Ok(()));
        Uwsgi::push(&mut out, Name::Given(b"B"), |out| out.resize(out.len() + 70_000, b'x'));
        assert_eq!(close(&mut out, start, [0, 0]), Err(65_535 + 70_005));
    }
}
