//! `ngx.req.get_headers`, `set_header`, `clear_header`, `raw_header`, `http_version`: the head of the request.

use crate::host::{request, with_request};
use base::log::Level;
use base::saturated::Saturated;
use http::line::Version;
use http::log_request;
use lua::{CallContext, Group, PhaseSet, Raise, Row, Stack};
use lua_lib::ngx::args::push_multi;

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
    lower: Vec<u8>,
    /// A bit for each kind of name that has come.
    found: u128,
}

impl FieldTable {
    /// An empty table; names keep their case if `raw`.
    pub(crate) fn new(stack: &mut Stack<'_>, fields: usize, raw: bool) -> FieldTable {
        stack.push_table(0, fields);
        FieldTable { table: stack.top(), raw, lower: Vec::with_capacity(if raw { 0 } else { 64 }), found: 0 }
    }

    /// Adds a field.
    pub(crate) fn add(&mut self, stack: &mut Stack<'_>, name: &[u8], value: &[u8]) {
        // Names of a kind that has not come are not looked for in the table.
        let kind = 1 << kind(name);
        let again = self.found & kind != 0;
        self.found |= kind;
        let key = if self.raw {
            name
        } else {
            self.lower.clear();
            self.lower.extend(name.iter().map(u8::to_ascii_lowercase));
            &self.lower
        };
        if again {
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

/// A number below 128 that equal names share, whatever their case.
fn kind(name: &[u8]) -> u32 {
    let ends = [name.first(), name.get(name.len() / 2), name.last()];
    let mixed = ends
        .into_iter()
        .flatten()
        .fold(u32::saturated(name.len()), |mixed, byte| mixed.wrapping_mul(31).wrapping_add((byte | 0x20).into()));
    mixed & 127
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
    use crate::ngx::tests::evaluate;

    #[test]
    fn arguments() {
        let error = |call: &str| evaluate(&format!("select(2, pcall(function() {call} end))"));
        assert_eq!(error("ngx.req.set_header()"), "test:1: bad 'name' argument: string expected, got nil");
        assert_eq!(error("ngx.req.set_header('a', 'b')"), "test:1: no request found");
        assert_eq!(error("require 'ngx.req'.add_header('a')"), "test:1: bad 'value' argument: string or table expected, got nil");
        assert_eq!(error("local t = ngx.req.get_headers()"), "test:1: no request found");
    }
}
