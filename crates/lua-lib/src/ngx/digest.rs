//! `ngx.md5`, `ngx.md5_bin`, `ngx.sha1_bin`, `ngx.hmac_sha1`, `ngx.crc32_short`, `ngx.crc32_long`.

use hmac::{Hmac, Mac};
use lua::{CallContext, Group, PhaseSet, Raise, Row, Stack};
use md5::{Digest, Md5};
use sha1::Sha1;

const ALL: u32 = PhaseSet::EVERYWHERE.bits();

/// The part's rows and glue.
#[must_use]
pub fn group() -> Group {
    Group {
        name: "ngx.digest",
        rows: vec![
            Row::fast::<ALL, _, _>("md5", md5_hex),
            Row::fast::<ALL, _, _>("md5_bin", md5_bin),
            Row::fast::<ALL, _, _>("sha1_bin", sha1_bin),
            Row::fast::<ALL, _, _>("crc32", crc32),
            Row::calls("hmac_sha1", PhaseSet::EVERYWHERE, hmac_sha1),
        ],
        glue: include_str!("digest.lua"),
    }
}

fn md5_hex(cx: &CallContext, text: &[u8]) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let digit = |n: u8| DIGITS.get(usize::from(n)).copied().unwrap_or(b'0');
    let sum = Md5::digest(text);
    cx.fill(|out| out.extend(sum.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 15)])));
}

fn md5_bin(cx: &CallContext, text: &[u8]) {
    cx.set_text(&Md5::digest(text));
}

fn sha1_bin(cx: &CallContext, text: &[u8]) {
    cx.set_text(&Sha1::digest(text));
}

fn crc32(_: &CallContext, text: &[u8]) -> f64 {
    f64::from(crc32fast::hash(text))
}

fn hmac_sha1(_: &CallContext, stack: &mut Stack<'_>) -> Result<usize, Raise> {
    if stack.top() != 2 {
        return Err(Raise::new(format!("expecting 2 arguments, but got {}", stack.top())));
    }
    let key = stack.check_bytes(1, "hmac_sha1")?;
    // A key of any length is a key; the library's error cannot come.
    let mut mac = Hmac::<Sha1>::new_from_slice(key).map_err(|_| Raise::fixed("bad key"))?;
    mac.update(stack.check_bytes(2, "hmac_sha1")?);
    let sum = mac.finalize().into_bytes();
    stack.push_bytes(&sum);
    Ok(1)
}

#[cfg(test)]
mod tests {
    use crate::ngx::tests::evaluate;

    #[test]
    fn sums() {
        assert_eq!(evaluate("ngx.md5('hello'), ngx.md5(nil)"), "5d41402abc4b2a76b9719d911017c592 d41d8cd98f00b204e9800998ecf8427e");
        assert_eq!(evaluate("#ngx.md5_bin('a'), #ngx.sha1_bin('a')"), "16 20");
        assert_eq!(evaluate("ngx.crc32_long('hello, world'), ngx.crc32_short('hello, world')"), "4289425978 4289425978");
        let hmac = "(ngx.hmac_sha1('thisisverysecretstuff', 'some string we want to sign'):gsub('.', function(c) return ('%02x'):format(c:byte()) end))";
        assert_eq!(evaluate(hmac), "47fa6fc731c2e0d2ed8fb4be917160fcd78f4e69");
    }
}
