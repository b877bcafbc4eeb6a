//! `ngx.escape_uri`, `ngx.unescape_uri`, `ngx.quote_sql_str`.
//!
//! The classes of `ngx.escape_uri` are lua-nginx-module's own: they escape less than those of nginx's core today.

use lua::{CallContext, Group, PhaseSet, Raise, Row, Stack};
use wire::uri::escape::{Unescape, all_but, holds, unescape};

const ALL: u32 = PhaseSet::EVERYWHERE.bits();

/// The part's rows and glue.
#[must_use]
pub fn group() -> Group {
    Group {
        name: "ngx.escape",
        rows: vec![
            Row::fast::<ALL, _, _>("escape_uri", escape_uri),
            Row::fast::<ALL, _, _>("unescape_uri", unescape_uri),
            Row::calls("quote_sql_str", PhaseSet::EVERYWHERE, quote_sql_str),
            Row::constant("COMPONENT", COMPONENT_CLASS),
            Row::constant("LAST_CLASS", i32::try_from(CLASSES.len()).unwrap_or(0) - 1),
        ],
        glue: include_str!("escape.lua"),
    }
}

/// Which bytes a class escapes.
pub type Table = [bool; 256];

const fn escaping(set: &[u8], high: bool) -> Table {
    let mut table = [false; 256];
    let mut byte = 0_u8;
    loop {
        table[byte as usize] = byte <= b' ' || (high && byte >= 0x7f) || holds(set, byte);
        if byte == u8::MAX {
            return table;
        }
        byte += 1;
    }
}

static URI: Table = escaping(b"#%?", true);
static ARGS: Table = escaping(b"#%?+", true);
/// What `ngx.escape_uri` escapes when it is given no type, and `ngx.encode_args` in names and values.
pub static COMPONENT: Table = all_but(b"-._~!'()*");
static HTML: Table = escaping(b"\"#%'", true);
static REFRESH: Table = escaping(b"\"'", true);
static MEMCACHED: Table = escaping(b"%", false);

/// The class of `COMPONENT`.
const COMPONENT_CLASS: i32 = 2;

/// The classes by nginx's numbers.
static CLASSES: [&Table; 7] = [&URI, &ARGS, &COMPONENT, &HTML, &REFRESH, &MEMCACHED, &MEMCACHED];

/// Appends `text` with the bytes that `table` names percent-encoded.
pub fn push_escaped(text: &[u8], table: &Table, out: &mut Vec<u8>) {
    let digit = |n: u8| if n < 10 { b'0' + n } else { b'A' + n - 10 };
    let mut rest = text;
    while let Some(at) = rest.iter().position(|byte| is_escaped(*byte, table)) {
        let (plain, from) = rest.split_at(at);
        out.extend_from_slice(plain);
        let Some((byte, behind)) = from.split_first() else { return };
        out.extend_from_slice(&[b'%', digit(byte >> 4), digit(byte & 15)]);
        rest = behind;
    }
    out.extend_from_slice(rest);
}

#[inline]
fn is_escaped(byte: u8, table: &Table) -> bool {
    table.get(usize::from(byte)).copied().unwrap_or(true)
}

/// Whether something was escaped: the result is in the output buffer then.
fn escape_uri(cx: &CallContext, text: &[u8], class: i32) -> bool {
    let table = usize::try_from(class).ok().and_then(|class| CLASSES.get(class)).copied().unwrap_or(&COMPONENT);
    if !text.iter().any(|byte| is_escaped(*byte, table)) {
        return false;
    }
    cx.fill(|out| push_escaped(text, table, out));
    true
}

/// Whether there may be something to unescape: the result is in the output buffer then.
fn unescape_uri(cx: &CallContext, text: &[u8]) -> bool {
    if memchr::memchr2(b'%', b'+', text).is_none() {
        return false;
    }
    cx.fill(|out| unescape(text, Unescape::Form, out));
    true
}

fn quote_sql_str(_: &CallContext, stack: &mut Stack<'_>) -> Result<usize, Raise> {
    if stack.top() != 1 {
        return Err(Raise::fixed("expecting one argument"));
    }
    let text = stack.check_bytes(1, "quote_sql_str")?;
    let mut out = Vec::with_capacity(text.len() + 2);
    wire::sql::push_literal(text, b"", &mut out);
    stack.push_bytes(&out);
    Ok(1)
}

#[cfg(test)]
mod tests {
    use crate::ngx::tests::evaluate;

    #[test]
    fn classes() {
        assert_eq!(evaluate("ngx.escape_uri(\"a 'b'/%+\\255\")"), "a%20'b'%2F%25%2B%FF");
        assert_eq!(evaluate("ngx.escape_uri('a b?c/d+', 0), ngx.escape_uri('a+', 1)"), "a%20b%3Fc/d+ a%2B");
        assert_eq!(evaluate("ngx.escape_uri(nil), ngx.escape_uri(12)"), " 12");
        let error = "select(2, pcall(ngx.escape_uri, 'a', 7))";
        assert!(evaluate(error).contains("\"type\" 7 out of range"), "{}", evaluate(error));
    }

    #[test]
    fn unescaping_and_quoting() {
        assert_eq!(evaluate("ngx.unescape_uri('a%20b+c%zz%4')"), "a b c%zz%4");
        assert_eq!(evaluate("ngx.quote_sql_str('a\\nb\\0\\'\"\\\\'), ngx.quote_sql_str('')"), "'a\\nb\\0\\'\\\"\\\\' ''");
    }
}
