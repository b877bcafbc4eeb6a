//! Query strings and form bodies of a request as Lua tables (`ngx.req.get_uri_args`, `set_uri_args`, `get_post_args`).

use crate::host::request;
use base::log::Level;
use base::saturated::Saturated;
use http::body::BodyState;
use http::log_request;
use lua::{CallContext, Group, PhaseSet, Raise, Row, Stack, Type};
use lua_lib::ngx::args::{Limit, MAX_ARGS, encode, fill, maximum, table_of};

/// The part's rows and glue.
#[must_use]
pub fn group() -> Group {
    let all = PhaseSet::EVERYWHERE;
    Group {
        name: "ngx.req.args",
        rows: vec![
            Row::calls("get_uri_args", all, get_uri_args),
            Row::calls("set_uri_args", all, set_uri_args),
            Row::calls("get_post_args", all, get_post_args),
        ],
        glue: include_str!("args.lua"),
    }
}

/// `get_uri_args(max, table)`: the table, and `"truncated"` if there were more than `max`.
fn get_uri_args(cx: &CallContext, stack: &mut Stack<'_>) -> Result<usize, Raise> {
    let (_, request) = request(cx)?;
    let max = match stack.number(1) {
        Some(0.0) => usize::MAX,
        Some(max) if max >= 1.0 => usize::saturated(max),
        _ => MAX_ARGS,
    };
    let line = request.line.borrow();
    let count = match memchr::memchr_iter(b'&', &line.args).count() {
        0 => usize::from(!line.args.is_empty()),
        ampersands => ampersands + 1,
    };
    if stack.kind(2) == Type::Table {
        stack.push_copy(2);
    } else {
        stack.push_table(0, count.min(max));
    }
    let table = stack.top();
    fill(stack, table, &line.args, Limit { max, empty_ones: false });
    stack.truncate(table);
    if count > max {
        log_request!(request, Level::Debug, "lua hit query args limit {max}");
        stack.push_bytes(b"truncated");
        return Ok(2);
    }
    Ok(1)
}

/// Bytes that `set_uri_args` escapes in a string: what a request line cannot hold.
fn breaks_line(byte: u8) -> bool {
    byte <= 0x20 || byte == 0x7f
}

fn set_uri_args(cx: &CallContext, stack: &mut Stack<'_>) -> Result<usize, Raise> {
    if stack.top() != 1 {
        return Err(Raise::new(format!("expecting 1 argument but seen {}", stack.top())));
    }
    let (_, request) = request(cx)?;
    let mut args = Vec::new();
    match stack.kind(1) {
        Type::Number | Type::String => {
            for &byte in stack.check_bytes(1, "set_uri_args")? {
                if breaks_line(byte) {
                    args.extend_from_slice(format!("%{byte:02X}").as_bytes());
                } else {
                    args.push(byte);
                }
            }
        }
        Type::Table => encode(stack, 1, &mut args)?,
        other => {
            let what = format!("string, number, or table expected, but got {}", other.name());
            return Err(Raise::argument(1, "set_uri_args", &what));
        }
    }
    request.line.borrow_mut().set_explicit_args(&args);
    Ok(0)
}

fn get_post_args(cx: &CallContext, stack: &mut Stack<'_>) -> Result<usize, Raise> {
    if stack.top() > 1 {
        return Err(Raise::new(format!("expecting 0 or 1 arguments but seen {}", stack.top())));
    }
    let max = maximum(stack, 1, "get_post_args")?;
    let (_, request) = request(cx)?;
    let body = request.body.borrow().clone();
    if body.state() == BodyState::Unread {
        return Err(Raise::fixed("no request body found; maybe you should turn on lua_need_request_body?"));
    }
    if body.file().is_some() {
        stack.push_nil();
        stack.push_bytes(b"request body in temp file not supported");
        return Ok(2);
    }
    Ok(body.with_data(|data| table_of(cx, stack, data, max)))
}
