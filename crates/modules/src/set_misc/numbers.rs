//! Random numbers and texts, and numbers that rotate.

use super::{fail, target};
use crate::compile::complex;
use base::saturated::Saturated;
use conf::configs::ConfMap;
use conf::row::Cx;
use conf::scope::Config;
use conf::tree::Error;
use http::program::{Flow, Program};
use http::set_function::CallError;
use http::{Complex, Request};
use session::variable;
use std::cell::Cell;

/// The longest random text.
const LONGEST: u64 = 64;

/// The number that `set_rotate` of a location assigned last in this worker.
#[derive(Default)]
pub(super) struct Rotation(Cell<Option<u64>>);

impl Config for Rotation {
    fn inherit(&mut self, _: &Self) {}
}

/// Both ends of a range, in order.
fn range(request: &Request, from: &Complex, to: &Complex, complaint: impl Fn(&str, &[u8]) -> String) -> Result<(u64, u64), CallError> {
    let number = |value: &Complex, name: &str| {
        let text = value.to_vec(request);
        base::text::parse_number(&text).ok_or_else(|| complaint(name, &text))
    };
    let (from, to) = (number(from, "from")?, number(to, "to")?);
    Ok((from.min(to), from.max(to)))
}

/// `set_random $variable from to`.
pub(super) fn random(cx: &mut Cx<'_>) -> Result<(), Error> {
    let (target, from, to) = (target(cx)?, complex(cx, 1)?, complex(cx, 2)?);
    let complaint = |name: &str, text: &[u8]| format!("set_random: bad \"{name}\" argument: {}", String::from_utf8_lossy(text));
    cx.location::<Program>().push(move |request, _| match range(request, &from, &to, complaint) {
        Ok((from, to)) => {
            // Without random bytes there is nothing better than the start of the range.
            let drawn = getrandom::u64().unwrap_or(0);
            let value = from + drawn % (to - from).saturating_add(1);
            variable::assign(&**request, target, value.to_string().as_bytes());
            Flow::Next
        }
        Err(error) => fail(request, &error),
    });
    Ok(())
}

/// `set_rotate $variable from to`: the number after the variable's own, or after the one that was assigned last.
pub(super) fn rotate(cx: &mut Cx<'_>) -> Result<(), Error> {
    let (target, from, to) = (target(cx)?, complex(cx, 1)?, complex(cx, 2)?);
    // Asked for here, it is this location's own.
    drop(cx.location::<Rotation>());
    let complaint = |name: &str, text: &[u8]| format!("set_rotate: bad \"{name}\" argument value: \"{}\"", String::from_utf8_lossy(text));
    cx.location::<Program>().push(move |request, _| match range(request, &from, &to, complaint) {
        Ok((from, to)) => {
            let rotation = request.conf::<Rotation>();
            let last = current(request, target).or(rotation.0.get());
            let next = last.and_then(|last| last.checked_add(1)).filter(|next| (from..=to).contains(next)).unwrap_or(from);
            rotation.0.set(Some(next));
            variable::assign(&**request, target, next.to_string().as_bytes());
            Flow::Next
        }
        Err(error) => fail(request, &error),
    });
    Ok(())
}

/// The number that the variable has, if it has one.
fn current(request: &Request, target: variable::VarIndex) -> Option<u64> {
    let mut text = Vec::new();
    if !variable::get(request, target, &mut text) || text.is_empty() {
        return None;
    }
    let number = base::text::parse_number(&text);
    if number.is_none() {
        let text = String::from_utf8_lossy(&text);
        http::log_request!(request, base::log::Level::Error, "set_rotate: bad current value: \"{text}\"");
    }
    number
}

pub(super) fn letters_and_digits(_: &ConfMap, length: &[u8], out: &mut Vec<u8>) -> Result<(), CallError> {
    push_random(length, b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789", out)
}

pub(super) fn letters(_: &ConfMap, length: &[u8], out: &mut Vec<u8>) -> Result<(), CallError> {
    push_random(length, b"abcdefghijklmnopqrstuvwxyz", out)
}

/// Each character is as likely as every other one.
fn push_random(length: &[u8], alphabet: &[u8], out: &mut Vec<u8>) -> Result<(), CallError> {
    let count = base::text::parse_number(length).filter(|count| (1..=LONGEST).contains(count));
    let count = count.ok_or_else(|| format!("set_random: bad \"length\" argument: {}", String::from_utf8_lossy(length)))?;
    for _ in 0..count {
        let drawn = getrandom::u64().map_err(|error| format!("set_secure_random: {error}"))?;
        out.extend(alphabet.get(usize::saturated(drawn % alphabet.len() as u64)));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::push_random;

    #[test]
    fn random_texts() {
        let mut out = Vec::new();
        assert!(push_random(b"64", b"ab", &mut out).is_ok());
        assert!(out.len() == 64 && out.iter().all(|byte| b"ab".contains(byte)));
        for bad in ["0", "65", "", "x", "-1", "99999999999999999999"] {
            let error = push_random(bad.as_bytes(), b"ab", &mut out).unwrap_err();
            assert_eq!(error, format!("set_random: bad \"length\" argument: {bad}").into());
        }
        assert_eq!(out.len(), 64);
    }
}
