//! `resty.md5`, `resty.sha1`, `resty.sha224` to `resty.sha512`, `resty.random`, `resty.string` (lua-resty-string).

use crate::ANYWHERE;
use crate::host::host;
use base::saturated::Saturated;
use foldhash::HashMap;
use lua::{CallContext, Group, Row};
use md5::Md5;
use sha1::Sha1;
use sha2::digest::DynDigest;
use sha2::{Sha224, Sha256, Sha384, Sha512};
use std::cell::{Cell, RefCell};

/// The part's rows and glue.
#[must_use]
pub fn group() -> Group {
    let mut rows = vec![
        Row::fast::<ANYWHERE, _, _>("sum_new", new),
        Row::fast::<ANYWHERE, _, _>("sum_update", update),
        Row::fast::<ANYWHERE, _, _>("sum_final", finish),
        Row::fast::<ANYWHERE, _, _>("sum_reset", reset),
        Row::fast::<ANYWHERE, _, _>("sum_free", free),
        Row::fast::<ANYWHERE, _, _>("random", random),
        Row::fast::<ANYWHERE, _, _>("to_hex", to_hex),
        Row::fast::<ANYWHERE, _, _>("atoi", atoi),
    ];
    rows.extend(constants());
    Group { name: "resty.string", rows, glue: include_str!("sums.lua") }
}

/// The numbers of digests for glue.
pub(crate) fn constants() -> [Row; 6] {
    [
        Row::constant("MD5", MD5),
        Row::constant("SHA1", SHA1),
        Row::constant("SHA224", SHA224),
        Row::constant("SHA256", SHA256),
        Row::constant("SHA384", SHA384),
        Row::constant("SHA512", SHA512),
    ]
}

/// Sums that are not finished, by the numbers that their Lua objects hold.
#[derive(Default)]
pub(crate) struct Sums {
    all: RefCell<HashMap<u64, Box<dyn DynDigest>>>,
    next: Cell<u64>,
}

/// A text cannot be longer in LuaJIT (`LJ_MAX_STR`).
const LONGEST_TEXT: usize = 0x7fff_ff00;

/// The numbers of digests, which `resty.aes` shows to users.
pub(crate) const MD5: i32 = 1;
pub(crate) const SHA1: i32 = 2;
pub(crate) const SHA224: i32 = 3;
pub(crate) const SHA256: i32 = 4;
pub(crate) const SHA384: i32 = 5;
pub(crate) const SHA512: i32 = 6;

/// A digest by its number; none for a number that is none's.
pub(crate) fn digest(kind: f64) -> Option<Box<dyn DynDigest>> {
    Some(match i32::saturated(kind) {
        MD5 => Box::new(Md5::default()),
        SHA1 => Box::new(Sha1::default()),
        SHA224 => Box::new(Sha224::default()),
        SHA256 => Box::new(Sha256::default()),
        SHA384 => Box::new(Sha384::default()),
        SHA512 => Box::new(Sha512::default()),
        _ => return None,
    })
}

fn with_sum(cx: &CallContext, id: f64, f: impl FnOnce(&mut dyn DynDigest)) -> bool {
    let Some(host) = host(cx) else { return false };
    host.runtime().state::<Sums>().all.borrow_mut().get_mut(&(u64::saturated(id))).map(|sum| f(sum.as_mut())).is_some()
}

fn new(cx: &CallContext, kind: f64) -> f64 {
    let (Some(host), Some(sum)) = (host(cx), digest(kind)) else { return 0.0 };
    let sums = host.runtime().state::<Sums>();
    let id = sums.next.get() + 1;
    sums.next.set(id);
    sums.all.borrow_mut().insert(id, sum);
    id as f64
}

fn update(cx: &CallContext, id: f64, data: &[u8]) -> bool {
    with_sum(cx, id, |sum| sum.update(data))
}

fn finish(cx: &CallContext, id: f64) -> bool {
    with_sum(cx, id, |sum| cx.set_text(&sum.finalize_reset()))
}

fn reset(cx: &CallContext, id: f64) -> bool {
    with_sum(cx, id, |sum| sum.reset())
}

fn free(cx: &CallContext, id: f64) {
    if let Some(host) = host(cx) {
        host.runtime().state::<Sums>().all.borrow_mut().remove(&(u64::saturated(id)));
    }
}

fn random(cx: &CallContext, length: f64) -> bool {
    let length = usize::saturated(length);
    let mut filled = false;
    cx.fill(|out| {
        if length > LONGEST_TEXT || out.try_reserve(length).is_err() {
            return;
        }
        out.resize(length, 0);
        filled = getrandom::fill(out).is_ok();
    });
    filled
}

fn to_hex(cx: &CallContext, data: &[u8]) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let digit = |n: u8| DIGITS.get(usize::from(n)).copied().unwrap_or(b'0');
    cx.fill(|out| out.extend(data.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 15)])));
}

/// A decimal number of digits alone, or -1.
fn atoi(_: &CallContext, text: &[u8]) -> f64 {
    if text.is_empty() || !text.iter().all(u8::is_ascii_digit) {
        return -1.0;
    }
    std::str::from_utf8(text).ok().and_then(|digits| digits.parse::<i64>().ok()).map_or(-1.0, |n| n as f64)
}

#[cfg(test)]
mod tests {
    use super::digest;
    use crate::ngx::tests::evaluate;

    #[test]
    fn text() {
        assert_eq!(evaluate("require 'resty.string'.to_hex('a\\255'), require 'resty.string'.atoi('128')"), "61ff 128");
        assert_eq!(evaluate("require 'resty.string'.atoi('12a'), #require 'resty.random'.bytes(7)"), "-1 7");
        assert_eq!(evaluate("require 'resty.random'.bytes(2 ^ 31), require 'resty.random'.bytes(2 ^ 62)"), "nil nil");
    }

    #[test]
    fn each_kind_has_its_length() {
        let lengths: Vec<usize> = (1..7).filter_map(|kind| digest(f64::from(kind))).map(|sum| sum.output_size()).collect();
        assert_eq!(lengths, [16, 20, 28, 32, 48, 64]);
        assert!(digest(0.0).is_none());
    }
}
