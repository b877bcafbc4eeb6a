//! `resty.aes` (lua-resty-string).

use crate::resty::modes::{BLOCK, Block, Key, Mode};
use crate::resty::sums::{self, digest};
use base::saturated::Saturated;
use lua::{CallContext, Group, PhaseSet, Raise, Row, Stack};

/// The part's rows and glue.
#[must_use]
pub fn group() -> Group {
    let all = PhaseSet::EVERYWHERE;
    let mut rows = vec![
        Row::calls("aes_is_mode", all, is_mode),
        Row::calls("aes_derive", all, derive),
        Row::calls("aes_encrypt", all, encrypt),
        Row::calls("aes_decrypt", all, decrypt),
    ];
    rows.extend(sums::constants());
    Group { name: "resty.aes", rows, glue: include_str!("aes.lua") }
}

fn is_mode(_: &CallContext, stack: &mut Stack<'_>) -> Result<usize, Raise> {
    let known = Mode::named(stack.check_bytes(1, "cipher")?).is_some();
    stack.push_bool(known);
    Ok(1)
}

/// `aes_derive(kind, key, salt, rounds, length)`: so many bytes of OpenSSL's derivation (`EVP_BytesToKey`).
fn derive(_: &CallContext, stack: &mut Stack<'_>) -> Result<usize, Raise> {
    let mut sum = digest(stack.check_number(1, "new")?).ok_or("bad hash")?;
    let key = stack.check_bytes(2, "new")?;
    let salt = stack.bytes(3).unwrap_or_default();
    let rounds = u64::saturated(stack.check_number(4, "new")?.max(1.0));
    let length = usize::saturated(stack.check_number(5, "new")?);
    let mut out: Vec<u8> = Vec::with_capacity(length);
    let mut last: Box<[u8]> = Box::default();
    while out.len() < length {
        for part in [&last, key, salt] {
            sum.update(part);
        }
        last = sum.finalize_reset();
        for _ in 1..rounds {
            sum.update(&last);
            last = sum.finalize_reset();
        }
        out.extend_from_slice(&last);
    }
    out.truncate(length);
    stack.push_bytes(&out);
    Ok(1)
}

/// What both ways get: `(mode, key, iv, padded, data, extra, tag)`.
struct Order<'a> {
    mode: Mode,
    key: Key,
    iv: &'a [u8],
    padded: bool,
    data: &'a [u8],
    extra: &'a [u8],
    tag: &'a [u8],
}

impl Order<'_> {
    fn read<'a>(stack: &'a Stack<'_>) -> Result<Order<'a>, Raise> {
        Ok(Order {
            mode: Mode::named(stack.check_bytes(1, "aes")?).ok_or("bad cipher")?,
            key: Key::new(stack.check_bytes(2, "aes")?).ok_or("bad key length")?,
            iv: stack.check_bytes(3, "aes")?,
            padded: stack.truthy(4),
            data: stack.check_bytes(5, "aes")?,
            extra: stack.bytes(6).unwrap_or_default(),
            tag: stack.bytes(7).unwrap_or_default(),
        })
    }

    /// The block that chains begin with; a short one ends in zeros.
    fn first(&self) -> Block {
        let mut block = [0; BLOCK];
        block.iter_mut().zip(self.iv).for_each(|(to, from)| *to = *from);
        block
    }

    /// What the first block is chained to, where blocks are.
    fn chain(&self) -> Option<Block> {
        (self.mode == Mode::Cbc).then(|| self.first())
    }

    /// The modes that turn bytes one by one.
    fn stream(&self, seal: bool) -> Vec<u8> {
        let mut out = self.data.to_vec();
        match self.mode {
            Mode::Cfb(bits) => self.key.feedback(bits, self.first(), &mut out, seal),
            Mode::Ofb => self.key.output_feedback(self.first(), &mut out),
            _ => self.key.counter(self.first(), &mut out),
        }
        out
    }
}

/// The result, and a tag; or nothing.
fn encrypt(_: &CallContext, stack: &mut Stack<'_>) -> Result<usize, Raise> {
    let order = Order::read(stack)?;
    let (out, tag) = match order.mode {
        Mode::Ecb | Mode::Cbc => (order.key.seal_blocks(order.chain(), order.data, order.padded), None),
        Mode::Gcm => {
            let (out, tag) = order.key.seal_tagged(order.iv, order.data, order.extra);
            (Some(out), Some(tag))
        }
        _ => (Some(order.stream(true)), None),
    };
    let Some(out) = out else { return Ok(0) };
    stack.push_bytes(&out);
    if let Some(tag) = tag {
        stack.push_bytes(&tag);
        return Ok(2);
    }
    Ok(1)
}

/// The result, or nothing.
fn decrypt(_: &CallContext, stack: &mut Stack<'_>) -> Result<usize, Raise> {
    let order = Order::read(stack)?;
    let out = match order.mode {
        Mode::Ecb | Mode::Cbc => order.key.open_blocks(order.chain(), order.data, order.padded),
        Mode::Gcm => order.key.open_tagged(order.iv, order.data, order.extra, order.tag),
        _ => Some(order.stream(false)),
    };
    let Some(out) = out else { return Ok(0) };
    stack.push_bytes(&out);
    Ok(1)
}

#[cfg(test)]
mod tests {
    use crate::ngx::tests::evaluate;

    #[test]
    fn as_openssl_derives() {
        // openssl enc -aes-128-cbc -md md5 -nosalt -k secret
        let there = "(function() local aes = require 'resty.aes' local a = aes:new('secret') \
                     return require 'resty.string'.to_hex(a:encrypt('hello')) end)()";
        assert_eq!(evaluate(there), "7b47a4dbb11e2cddb2f3740c9e3a552b");
    }

    #[test]
    fn there_and_back() {
        for mode in ["ecb", "cbc", "cfb1", "cfb8", "cfb128", "ofb", "ctr"] {
            let code = format!(
                "(function() local aes = require 'resty.aes' \
                 local a = aes:new('secret', '12345678', aes.cipher(256, '{mode}'), aes.hash.sha512, 3) \
                 return a:decrypt(a:encrypt('hello')) end)()"
            );
            assert_eq!(evaluate(&code), "hello", "{mode}");
        }
        let tagged = "(function() local aes = require 'resty.aes' local a = aes:new(('k'):rep(16), nil, aes.cipher(128, 'gcm'), {iv = '123456789012'}) \
                      local t = a:encrypt('hello', 'more') return a:decrypt(t[1], t[2], 'more') .. tostring(select(2, a:decrypt(t[1], t[2]))) end)()";
        assert_eq!(evaluate(tagged), "helloEVP_DecryptFinal_ex failed");
    }

    #[test]
    fn refusals() {
        let new = |rest: &str| evaluate(&format!("select(2, require 'resty.aes':new('k', {rest}))"));
        assert_eq!(new("'short'"), "salt must be 8 characters or nil");
        assert_eq!(new("nil, nil, {}"), "iv is needed");
        assert_eq!(new("nil, nil, {iv = ('x'):rep(17)}"), "bad iv length");
        assert_eq!(new("nil, nil, {iv = 'x'}"), "bad key length");
        assert_eq!(evaluate("require 'resty.aes'.cipher(128, 'xyz')"), "nil");
    }
}
