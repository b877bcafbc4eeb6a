//! What a health check sends to a server, and the expected reply: `match { }`.

use conf::row::Cx;
use conf::tree::Directive;
use conf::tree::SettingError;
use stream::{Regex, Variables};

/// Bytes of an answer that are looked at, as in NGINX Plus.
pub(super) const MOST: usize = 256 * 1024;

enum Wanted {
    /// The answer begins so.
    Text(Vec<u8>),
    Matches(Regex),
}

/// A test.
#[derive(Default)]
pub struct Test {
    pub(super) send: Option<Vec<u8>>,
    expect: Option<Wanted>,
}

/// Reads a directive of the block.
///
/// # Errors
/// It makes no sense.
pub(super) fn read(cx: &Cx<'_>, directive: &Directive, test: &mut Test) -> Result<(), SettingError> {
    let words: Vec<&[u8]> = directive.args.iter().map(|word| word.bytes.as_slice()).collect();
    let name = directive.name.text();
    let bad = || format!("invalid parameters of \"{name}\" in \"match\"");
    let regex = |pattern: &[u8], caseless| Regex::new(pattern, caseless, &mut cx.global::<Variables>());
    match (&*directive.name.bytes, &*words) {
        (b"send", [_]) if test.send.is_some() => Err("\"send\" directive is duplicate".into()),
        (b"expect", [_, ..]) if test.expect.is_some() => Err("\"expect\" directive is duplicate".into()),
        (b"send", [text]) => {
            test.send = Some(literal(text).ok_or_else(bad)?);
            Ok(())
        }
        (b"expect", [b"~", pattern]) => {
            test.expect = Some(Wanted::Matches(regex(pattern, false)?));
            Ok(())
        }
        (b"expect", [b"~*", pattern]) => {
            test.expect = Some(Wanted::Matches(regex(pattern, true)?));
            Ok(())
        }
        (b"expect", [text]) => {
            test.expect = Some(Wanted::Text(literal(text).ok_or_else(bad)?));
            Ok(())
        }
        (b"send" | b"expect", _) => Err(bad().into()),
        _ => Err(format!("unknown directive \"{name}\"").into()),
    }
}

/// Text with `\xHH` for bytes.
fn literal(text: &[u8]) -> Option<Vec<u8>> {
    let (mut out, mut rest) = (Vec::new(), text);
    while let [byte, behind @ ..] = rest {
        match rest {
            [b'\\', b'x', high, low, behind @ ..] => {
                let digit = |byte: &u8| (*byte as char).to_digit(16);
                out.push(u8::try_from(digit(high)? << 4 | digit(low)?).ok()?);
                rest = behind;
            }
            [b'\\', b'x', ..] => return None,
            _ => {
                out.push(*byte);
                rest = behind;
            }
        }
    }
    Some(out)
}

impl Test {
    /// Whether an answer is waited for.
    pub(super) fn waits(&self) -> bool {
        self.expect.is_some()
    }

    /// Whether the received data matches; `None` if more data may decide.
    pub(super) fn matches(&self, so_far: &[u8]) -> Option<bool> {
        match &self.expect {
            None => Some(true),
            Some(Wanted::Matches(regex)) => regex.is_match(so_far).then_some(true),
            Some(Wanted::Text(text)) => match so_far.get(..text.len()) {
                Some(start) => Some(start == text),
                None => (!text.starts_with(so_far)).then_some(false),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_and_answers() {
        assert_eq!(literal(b"a\\x00\\xfFb\\n").as_deref(), Some(&b"a\0\xffb\\n"[..]));
        assert_eq!((literal(b"\\x0"), literal(b"\\xg0")), (None, None));
        let test = Test { send: None, expect: Some(Wanted::Text(b"abc".to_vec())) };
        let judged: Vec<_> = ["", "ab", "abc", "abcd", "ax"].iter().map(|text| test.matches(text.as_bytes())).collect();
        assert_eq!(judged, [None, None, Some(true), Some(true), Some(false)]);
    }
}
