//! The query string as nginx's `$arg_NAME` and the Lua API's argument decoders see it.

/// The raw value of the first argument called `name`, as `$arg_name`: names compare without
/// case, values are not decoded, and an argument without `=` does not count.
#[must_use]
pub fn find<'a>(args: &'a [u8], name: &[u8]) -> Option<&'a [u8]> {
    let mut rest = args;
    loop {
        // One that is not called so is mostly passed by without a look at its name.
        if rest.get(name.len()) == Some(&b'=')
            && let Some((key, after)) = rest.split_at_checked(name.len())
            && key.eq_ignore_ascii_case(name)
            && !key.contains(&b'&')
        {
            let value = after.get(1..)?;
            return value.get(..ampersand(value).unwrap_or(value.len()));
        }
        rest = rest.get(ampersand(rest)? + 1..)?;
    }
}

/// Where the argument ends that `text` begins with.
fn ampersand(text: &[u8]) -> Option<usize> {
    crate::scan::position(b'&', text)
}

/// One argument, not decoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Arg<'a> {
    /// The part before the first `=`.
    pub name: &'a [u8],
    /// The part after it; `None` without a `=`, which the Lua API reports as `true`.
    pub value: Option<&'a [u8]>,
}

/// The arguments in order, as `ngx.req.get_uri_args` walks them: split at `&`, and arguments with
/// an empty name are left out.
pub fn iter(args: &[u8]) -> impl Iterator<Item = Arg<'_>> {
    args.split(|&byte| byte == b'&').filter_map(|pair| {
        let arg = match memchr::memchr(b'=', pair) {
            Some(at) => Arg { name: pair.get(..at)?, value: pair.get(at + 1..) },
            None => Arg { name: pair, value: None },
        };
        (!arg.name.is_empty()).then_some(arg)
    })
}

/// The path and the arguments of `uri`, cut at its first `?`; nothing is decoded.
#[must_use]
pub fn split(uri: &[u8]) -> (&[u8], &[u8]) {
    match memchr::memchr(b'?', uri) {
        Some(at) => (uri.get(..at).unwrap_or(&[]), uri.get(at + 1..).unwrap_or(&[])),
        None => (uri, &[]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_match_wins_in_any_case() {
        let args = b"xfoo=0&foo&FOO=1&foo=2&bar=&a=b=c";
        assert_eq!(find(args, b"foo"), Some(&b"1"[..]));
        assert_eq!(find(args, b"bar"), Some(&b""[..]));
        assert_eq!(find(args, b"a"), Some(&b"b=c"[..]));
        assert_eq!(find(args, b"fo"), None);
        assert_eq!(find(b"", b"a"), None);
        let more: [(&[u8], &[u8], Option<&[u8]>); 6] = [
            (b"a&b=1", b"a&b", None),
            (b"=1&a=2", b"", Some(b"1")),
            (b"a=b=c&x", b"a=b", Some(b"c")),
            (b"a_rather_long_name=and_a_long_value&b=2", b"b", Some(b"2")),
            (b"a=1&a_rather_long_name=and_a_long_value&b=2", b"A_Rather_Long_Name", Some(b"and_a_long_value")),
            (b"a=1&b", b"b", None),
        ];
        for (args, name, value) in more {
            assert_eq!(find(args, name), value, "{}", args.escape_ascii());
        }
    }

    #[test]
    fn walking() {
        let all: Vec<_> = iter(b"a=1&&=x&b&c=").map(|a| (a.name, a.value)).collect();
        let expected: [(&[u8], Option<&[u8]>); 3] = [(b"a", Some(b"1")), (b"b", None), (b"c", Some(b""))];
        assert_eq!(all, expected);
        assert_eq!(split(b"/a?b?c"), (&b"/a"[..], &b"b?c"[..]));
        assert_eq!(split(b"/a"), (&b"/a"[..], &b""[..]));
    }
}
