//! Query strings and form bodies as Lua tables, and back (`ngx.encode_args`, `ngx.decode_args`).

use crate::host::host;
use crate::ngx::escape::{COMPONENT, push_escaped};
use crate::ngx::names::Names;
use base::log::Level;
use base::saturated::Saturated;
use lua::{CallContext, Group, MOST_KEYS, PhaseSet, Raise, Row, Stack, Type};
use wire::scan::position;
use wire::uri::escape::{Unescape, unescape};

/// Most arguments that a function gives when it is not told otherwise.
pub const MAX_ARGS: usize = 100;

/// The part's rows and glue.
#[must_use]
pub fn group() -> Group {
    let all = PhaseSet::EVERYWHERE;
    Group {
        name: "ngx.args",
        rows: vec![Row::calls("encode_args", all, encode_args), Row::calls("decode_args", all, decode_args)],
        glue: "local b = ... b.ngx.encode_args, b.ngx.decode_args = b.R.encode_args, b.R.decode_args",
    }
}

/// How many arguments a reader takes, and what counts.
#[derive(Clone, Copy)]
pub struct Limit {
    /// The most that are read.
    pub max: usize,
    /// Arguments without a name count too.
    pub empty_ones: bool,
}

/// Fills the table at `table`; returns how many `&` and `=` told of arguments were read, and where reading ended.
pub fn fill(stack: &mut Stack<'_>, table: usize, text: &[u8], limit: Limit) -> bool {
    let (mut key, mut value) = (Vec::new(), Vec::new());
    let mut stored = 0;
    let mut names = Names::default();
    let is_plain = memchr::memchr2(b'%', b'+', text).is_none();
    let mut rest = Some(text);
    while let Some(current) = rest {
        let (name, content, next) = next_pair(current);
        rest = next;
        let name = decoded(name, is_plain, &mut key);
        let content = content.map(|content| decoded(content, is_plain, &mut value));
        if !name.is_empty() {
            let again = names.note(name);
            match content {
                Some(content) if !again => stack.put_field(table, name, content),
                _ => push_multi(stack, table, name, again, |stack| match content {
                    Some(content) => stack.push_bytes(content),
                    None => stack.push_bool(true),
                }),
            }
            stored += 1;
        } else if limit.empty_ones && rest.is_some() {
            stored += 1;
        }
        if rest.is_some() && stored == limit.max {
            return true;
        }
    }
    false
}

/// The name and the value of the first argument of `text`, as they stand there, and what comes behind its `&`.
#[inline]
fn next_pair(text: &[u8]) -> (&[u8], Option<&[u8]>, Option<&[u8]>) {
    // Names are short.
    let Some(end) = text.iter().position(|byte| matches!(byte, b'=' | b'&')) else { return (text, None, None) };
    let (name, rest) = (text.get(..end).unwrap_or_default(), text.get(end + 1..).unwrap_or_default());
    if text.get(end) == Some(&b'&') {
        return (name, None, Some(rest));
    }
    match position(b'&', rest) {
        Some(end) => (name, rest.get(..end), rest.get(end + 1..)),
        None => (name, Some(rest), None),
    }
}

/// `table[key] = value`, or appends the value to the list there; `again` says that the key may be taken.
pub fn push_multi(stack: &mut Stack<'_>, table: usize, key: &[u8], again: bool, push: impl FnOnce(&mut Stack<'_>)) {
    if !again {
        push(stack);
        return stack.set_field(table, key);
    }
    let base = stack.top();
    match stack.get_field(table, key) {
        Type::Nil => {
            stack.truncate(base);
            push(stack);
            stack.set_field(table, key);
        }
        Type::Table => {
            let next = stack.raw_len(base + 1) + 1;
            push(stack);
            stack.set_item(base + 1, next);
            stack.truncate(base);
        }
        _ => {
            stack.push_table(4, 0);
            stack.push_copy(base + 1);
            stack.set_item(base + 2, 1);
            push(stack);
            stack.set_item(base + 2, 2);
            stack.set_field(table, key);
            stack.truncate(base);
        }
    }
}

fn decoded<'a>(text: &'a [u8], is_plain: bool, out: &'a mut Vec<u8>) -> &'a [u8] {
    if is_plain || memchr::memchr2(b'%', b'+', text).is_none() {
        return text;
    }
    out.clear();
    unescape(text, Unescape::Form, out);
    out
}

/// The maximum at `index` for `get_post_args` and `decode_args`: none below 1.
///
/// # Errors
/// What stands there is no number.
pub fn maximum(stack: &Stack<'_>, index: usize, function: &str) -> Result<usize, Raise> {
    if stack.top() < index {
        return Ok(MAX_ARGS);
    }
    Ok(at_most(stack.check_number(index, function)?))
}

/// What a caller means by a number of entries; 0 asks for all, and there are never more than fit into a table.
fn at_most(number: f64) -> usize {
    if number >= 1.0 { usize::saturated(number).min(MOST_KEYS) } else { MOST_KEYS }
}

fn decode_args(cx: &CallContext, stack: &mut Stack<'_>) -> Result<usize, Raise> {
    if !(1..=2).contains(&stack.top()) {
        return Err(Raise::new(format!("expecting 1 or 2 arguments but seen {}", stack.top())));
    }
    let text = stack.check_bytes(1, "decode_args")?.to_vec();
    let max = maximum(stack, 2, "decode_args")?;
    Ok(table_of(cx, stack, &text, max))
}

/// Pushes a table of the arguments of `text`, and `"truncated"` if there are more than `max`: how many values that are.
pub fn table_of(cx: &CallContext, stack: &mut Stack<'_>, text: &[u8], max: usize) -> usize {
    stack.push_table(0, 4);
    let table = stack.top();
    let truncated = fill(stack, table, text, Limit { max, empty_ones: true });
    stack.truncate(table);
    if truncated {
        if let Some(host) = host(cx)
            && host.log_enabled(Level::Debug)
        {
            host.log(Level::Debug, format!("lua hit query args limit {max}").as_bytes(), "");
        }
        stack.push_bytes(b"truncated");
    }
    1 + usize::from(truncated)
}

fn encode_args(_: &CallContext, stack: &mut Stack<'_>) -> Result<usize, Raise> {
    if stack.top() != 1 {
        return Err(Raise::new(format!("expecting 1 argument but seen {}", stack.top())));
    }
    if stack.kind(1) != Type::Table {
        return Err(stack.mismatch(1, "?", "table"));
    }
    let mut out = Vec::new();
    encode(stack, 1, &mut out)?;
    stack.push_bytes(&out);
    Ok(1)
}

/// Appends the table at `table` as a query string.
///
/// # Errors
/// A key that is no string, a value that cannot be written.
pub fn encode(stack: &mut Stack<'_>, table: usize, out: &mut Vec<u8>) -> Result<(), Raise> {
    stack.for_each(table, |stack, key, value| {
        if stack.kind(key) != Type::String {
            return Err(Raise::fixed("attempt to use a non-string key in the \"args\" option table"));
        }
        if stack.kind(value) != Type::Table {
            return pair(stack, key, value, out);
        }
        stack.for_each(value, |stack, _, item| pair(stack, key, item, out))
    })
}

fn pair(stack: &Stack<'_>, key: usize, value: usize, out: &mut Vec<u8>) -> Result<(), Raise> {
    let kind = stack.kind(value);
    if kind == Type::Boolean && !stack.truthy(value) {
        return Ok(());
    }
    if !matches!(kind, Type::Boolean | Type::Number | Type::String) {
        return Err(Raise::new(format!("attempt to use {} as query arg value", kind.name())));
    }
    if !out.is_empty() {
        out.push(b'&');
    }
    push_escaped(stack.bytes(key).unwrap_or_default(), &COMPONENT, out);
    if kind != Type::Boolean {
        out.push(b'=');
        push_escaped(stack.bytes(value).unwrap_or_default(), &COMPONENT, out);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::{MOST_KEYS, at_most};
    use crate::ngx::tests::evaluate;

    fn error(call: &str) -> String {
        evaluate(&format!("select(2, pcall(function() {call} end))"))
    }

    #[test]
    fn encoding() {
        assert_eq!(evaluate("ngx.encode_args({a = 'b c'})"), "a=b%20c");
        assert_eq!(evaluate("ngx.encode_args({a = {1, true, false, '&'}})"), "a=1&a&a=%26");
        assert_eq!(evaluate("ngx.encode_args({a = false}) == ''"), "true");
        assert_eq!(error("ngx.encode_args({[1] = 2})"), "test:1: attempt to use a non-string key in the \"args\" option table");
        assert_eq!(error("ngx.encode_args({a = ngx.null})"), "test:1: attempt to use userdata as query arg value");
        assert_eq!(error("ngx.encode_args('a')"), "test:1: bad argument #1 to 'encode_args' (table expected, got string)");
    }

    #[test]
    fn no_limit_is_more_than_a_table_holds() {
        for (number, expected) in [(1.0, 1), (2.9, 2), (0.0, MOST_KEYS), (-1.0, MOST_KEYS), (f64::NAN, MOST_KEYS), (1e300, MOST_KEYS)] {
            assert_eq!(at_most(number), expected, "{number}");
        }
    }

    #[test]
    fn decoding() {
        assert_eq!(evaluate("ngx.decode_args('a=1+2&b&=x&c=%41').a, ngx.decode_args('b').b"), "1 2 true");
        assert_eq!(evaluate("table.concat(ngx.decode_args('a=1&a=2&a=3').a, ',')"), "1,2,3");
        assert_eq!(evaluate("select(2, ngx.decode_args('a=1&b=2&c=3', 2)), ngx.decode_args('a=1&b=2&c=3', 2).c"), "truncated nil");
        assert_eq!(evaluate("select('#', ngx.decode_args('a=1&b=2', 2))"), "1");
        assert_eq!(error("ngx.decode_args()"), "test:1: expecting 1 or 2 arguments but seen 0");
    }
}
