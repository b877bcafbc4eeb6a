//! `ngx.arg`: the arguments of `set_by_lua*`, the data of `body_filter_by_lua*`.

use crate::host::{Host, request};
use base::saturated::Saturated;
use http::chain::FilePiece;
use http::{Chain, Piece};
use lua::{CallContext, Group, LuaPhase, PhaseSet, Raise, Row, Stack, Type};
use lua_lib::shown::push_value;

const PHASES: PhaseSet = PhaseSet::of(LuaPhase::SET).with(LuaPhase::BODY_FILTER);

/// `ngx.arg`.
pub fn group() -> Group {
    Group {
        name: "ngx.arg",
        rows: vec![
            Row::fast::<{ PhaseSet::EVERYWHERE.bits() }, _, _>("arg_get", get),
            Row::fast::<{ PHASES.bits() }, _, _>("arg_set_text", set_text),
            Row::calls("arg_set", PHASES, set),
            Row::constant("NIL", NIL),
            Row::constant("TEXT", TEXT),
            Row::constant("TRUE", TRUE),
            Row::constant("FALSE", FALSE),
        ],
        glue: include_str!("arg.lua"),
    }
}

/// What an argument is; text is in the output buffer.
const NIL: i32 = 0;
const TEXT: i32 = 1;
const TRUE: i32 = 2;
const FALSE: i32 = 3;
/// An error.
const FAILED: i32 = -1;

fn get(cx: &CallContext, index: f64) -> i32 {
    let Some(host) = cx.host::<Host>().filter(|_| cx.is_in(PHASES)) else {
        cx.put_static(if cx.phase().is_none_or(|phase| phase == LuaPhase::INIT) {
            b"no request found"
        } else {
            b"API disabled in the current context"
        });
        return FAILED;
    };
    if cx.phase() == Some(LuaPhase::SET) {
        let arguments = host.arguments.values.borrow();
        let value = if index >= 1.0 { arguments.get(usize::saturated(index) - 1) } else { None };
        return match value.filter(|value| !value.is_empty()) {
            Some(value) => {
                cx.set_text(value);
                TEXT
            }
            None => NIL,
        };
    }
    let body = host.arguments.body.borrow();
    if index == 1.0 {
        cx.fill(|out| body.pieces.iter().for_each(|piece| push_piece(piece, out)));
        return TEXT;
    }
    match (index == 2.0, body.last) {
        (true, true) => TRUE,
        (true, false) => FALSE,
        _ => NIL,
    }
}

/// Appends a piece, read from its file if it is in one.
pub(crate) fn push_piece(piece: &Piece, out: &mut Vec<u8>) {
    match piece {
        Piece::Bytes(bytes) => out.extend_from_slice(bytes),
        Piece::File(FilePiece { file, start, end }) => {
            let (from, count) = (out.len(), usize::try_from(end - start).unwrap_or(usize::MAX));
            // A file that became shorter meanwhile gives what is left of it.
            loop {
                let done = out.len() - from;
                match sys::descriptor::read_at(file, out, start + done as u64, count - done) {
                    Ok(n) if n > 0 && done + n < count => {}
                    _ => break,
                }
            }
        }
    }
}

/// `ngx.arg[1] = text` in a body filter; false leaves why not in the output buffer.
fn set_text(cx: &CallContext, text: &[u8]) -> bool {
    match cx.host::<Host>() {
        Some(host) if cx.phase() == Some(LuaPhase::BODY_FILTER) => {
            replace(&mut host.arguments.body.borrow_mut(), text);
            true
        }
        _ => {
            cx.set_text(b"API disabled in the context of set_by_lua*");
            false
        }
    }
}

fn replace(body: &mut Chain, text: &[u8]) {
    body.pieces.clear();
    if !text.is_empty() {
        body.pieces.push(Piece::Bytes(bytes::Bytes::copy_from_slice(text)));
    }
}

fn set(cx: &CallContext, stack: &mut Stack<'_>) -> Result<usize, Raise> {
    let (host, _) = request(cx)?;
    if cx.phase() != Some(LuaPhase::BODY_FILTER) {
        return Err(cx.refusal());
    }
    match stack.number(1) {
        Some(1.0) => {
            let mut text = Vec::new();
            match stack.kind(2) {
                Type::Nil | Type::None => {}
                Type::String | Type::Number | Type::Table => push_value(stack, 2, 3, "__newindex", &mut text)?,
                other => {
                    return Err(Raise::new(format!("bad chunk data type: {}", other.name())));
                }
            }
            replace(&mut host.arguments.body.borrow_mut(), &text);
        }
        Some(2.0) => host.arguments.body.borrow_mut().last = stack.truthy(2),
        Some(n) => return Err(Raise::new(format!("bad index: {n}"))),
        None => return Err(Raise::argument(2, "__newindex", "number expected")),
    }
    Ok(0)
}
