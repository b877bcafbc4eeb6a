//! `ngx.req.get_headers`, `set_header`, `clear_header`, `raw_header`, `http_version`: the head of the request.

use crate::host::{request, with_request};
use base::log::Level;
use base::saturated::Saturated;
use http::line::Version;
use http::log_request;
use lua::{CallContext, Group, PhaseSet, Raise, Row, Stack};
use lua_lib::ngx::args::push_multi;
use lua_lib::ngx::names::Names;

const ALL: u32 = PhaseSet::EVERYWHERE.bits();

/// Most fields that `get_headers` gives when it is not told otherwise.
const MAX_HEADERS: usize = 100;

/// The part's rows and glue.
#[must_use]
pub(crate) fn group() -> Group {
    Group {
        name: "ngx.req.headers",
        rows: vec![
            Row::calls("req_headers", PhaseSet::EVERYWHERE, req_headers),
            Row::fast::<ALL, _, _>("req_set", req_set),
            Row::fast::<ALL, _, _>("raw_header", raw_header),
            Row::fast::<ALL, _, _>("http_version", http_version),
        ],
        glue: include_str!("req_header.lua"),
    }
}

/// A Lua table of header fields that grows on top of the stack: fields of one name become a list.
pub(crate) struct FieldTable {
    table: usize,
    raw: bool,
    lower: Lowered,
    names: Names,
}

impl FieldTable {
    /// An empty table; names keep their case if `raw`.
    pub(crate) fn new(stack: &mut Stack<'_>, fields: usize, raw: bool) -> FieldTable {
        stack.push_table(0, fields);
        FieldTable { table: stack.top(), raw, lower: Lowered::default(), names: Names::default() }
    }

    /// Adds a field.
    pub(crate) fn add(&mut self, stack: &mut Stack<'_>, name: &[u8], value: &[u8]) {
        let key = if self.raw { name } else { self.lower.of(name) };
        if self.names.note(key) {
            push_multi(stack, self.table, key, true, |stack| stack.push_bytes(value));
        } else {
            stack.put_field(self.table, key, value);
        }
    }

    /// Leaves the table alone on top.
    pub(crate) fn finish(self, stack: &mut Stack<'_>) {
        stack.truncate(self.table);
    }
}

/// A name in small letters, eight bytes at a time.
#[derive(Default)]
struct Lowered {
    short: [[u8; 8]; 6],
    long: Vec<u8>,
}

impl Lowered {
    fn of<'a>(&'a mut self, name: &[u8]) -> &'a [u8] {
        if name.len() > size_of_val(&self.short) {
            self.long.clear();
            self.long.extend(name.iter().map(u8::to_ascii_lowercase));
            return &self.long;
        }
        let (words, rest) = name.as_chunks();
        let mut last = [0; 8];
        last.iter_mut().zip(rest).for_each(|(to, from)| *to = *from);
        for (word, from) in self.short.iter_mut().zip(words.iter().chain([&last])) {
            *word = lowered(u64::from_ne_bytes(*from)).to_ne_bytes();
        }
        self.short.as_flattened().get(..name.len()).unwrap_or_default()
    }
}

/// The letters among eight bytes in small.
fn lowered(word: u64) -> u64 {
    const EACH: u64 = 0x0101_0101_0101_0101;
    const HIGH: u64 = 0x80 * EACH;
    let low = word & !HIGH;
    // The high bit of a byte of each: it is at least an A; it comes after Z.
    let (begun, over) = (low + (0x80 - u64::from(b'A')) * EACH, low + (0x7f - u64::from(b'Z')) * EACH);
    word | (begun & !over & !word & HIGH) >> 2
}

/// `get_headers(max, raw)`: the table, and `"truncated"` if there were more.
fn req_headers(cx: &CallContext, stack: &mut Stack<'_>) -> Result<usize, Raise> {
    let (_, request) = request(cx)?;
    let max = match stack.number(1) {
        Some(0.0) => usize::MAX,
        Some(max) if max >= 1.0 => usize::saturated(max),
        _ => MAX_HEADERS,
    };
    let raw = stack.truthy(2);
    let headers = request.headers.borrow();
    let count = headers.len().min(max);
    let mut table = FieldTable::new(stack, count, raw);
    for (name, value) in headers.iter().take(count) {
        table.add(stack, name, value);
    }
    table.finish(stack);
    if headers.len() > count {
        let found = headers.len();
        drop(headers);
        log_request!(request, Level::Debug, "lua exceeding request header limit {found} > {count}");
        stack.push_bytes(b"truncated");
        return Ok(2);
    }
    Ok(1)
}

fn req_set(cx: &CallContext, name: &[u8], value: &[u8], add: i32) -> i32 {
    with_request(cx, -1, |_, request| {
        if request.version() < Version::Http10 {
            return 0;
        }
        match request.set_input_field(name, value, add != 0) {
            Ok(()) => 0,
            Err(_) => {
                cx.put_static(b"failed to set header");
                -1
            }
        }
    })
}

fn raw_header(cx: &CallContext, without_line: i32) -> i32 {
    with_request(cx, -1, |_, request| {
        let main = request.main();
        if main.version() >= Version::Http2 {
            cx.put_static(b"http2 requests not supported yet");
            return -1;
        }
        let headers = main.headers.borrow();
        let head = headers.received();
        let start = match memchr::memchr(b'\n', head) {
            Some(end) if without_line != 0 => end + 1,
            _ => 0,
        };
        cx.set_text(head.get(start..).unwrap_or_default());
        0
    })
}

fn http_version(cx: &CallContext) -> f64 {
    with_request(cx, -1.0, |_, request| match request.version() {
        Version::Http09 => 0.9,
        Version::Http10 => 1.0,
        Version::Http11 => 1.1,
        Version::Http2 => 2.0,
        Version::Http3 => 3.0,
    })
}

#[cfg(test)]
mod tests {
    use super::{Lowered, lowered};
    use crate::ngx::tests::evaluate;

    #[test]
    fn names_in_small_letters() {
        for byte in 0..=u8::MAX {
            let word = [byte, b'A', byte, b'z', 0xff, byte, b'[', byte];
            assert_eq!(lowered(u64::from_ne_bytes(word)).to_ne_bytes(), word.map(|byte| byte.to_ascii_lowercase()), "{byte}");
        }
        let mut lower = Lowered::default();
        for length in (0..60).rev() {
            let name: Vec<u8> = (0..length).map(|at| b"X-Content_@Z"[at % 12]).collect();
            assert_eq!(lower.of(&name), name.to_ascii_lowercase());
        }
    }

    #[test]
    fn arguments() {
        let error = |call: &str| evaluate(&format!("select(2, pcall(function() {call} end))"));
        assert_eq!(error("ngx.req.set_header()"), "test:1: bad 'name' argument: string expected, got nil");
        assert_eq!(error("ngx.req.set_header('a', 'b')"), "test:1: no request found");
        assert_eq!(error("require 'ngx.req'.add_header('a')"), "test:1: bad 'value' argument: string or table expected, got nil");
        assert_eq!(error("local t = ngx.req.get_headers()"), "test:1: no request found");
    }
}
