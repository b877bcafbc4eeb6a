//! Values as `ngx.print` formats them.

use crate::number;
use base::saturated::Saturated;
use lua::{Piece, Raise, Stack, Type};

/// Appends a value as `ngx.print` shows it; tables are lists of such values.
///
/// # Errors
/// `bad argument #N to 'F' (…)` for what cannot be shown.
pub fn push_value(stack: &mut Stack<'_>, index: usize, argument: usize, function: &str, out: &mut Vec<u8>) -> Result<(), Raise> {
    match stack.kind(index) {
        Type::Number => number::push_printed(out, stack.number(index).unwrap_or_default()),
        Type::String => out.extend_from_slice(stack.bytes(index).unwrap_or_default()),
        Type::Nil | Type::None => out.extend_from_slice(b"nil"),
        Type::Boolean => out.extend_from_slice(if stack.truthy(index) { b"true" } else { b"false" }),
        Type::LightUserdata => {
            if stack.light(index) == Some(0) {
                out.extend_from_slice(b"null");
            }
        }
        Type::Table => push_list(stack, index, argument, function, out)?,
        other => {
            let what = format!("string, number, boolean, nil, ngx.null, or array table expected, but got {}", other.name());
            return Err(Raise::argument(argument, function, &what));
        }
    }
    Ok(())
}

/// The greatest place in an array, which may have holes.
///
/// # Errors
/// The table has other keys, for which `function` blames its argument.
pub(crate) fn array_length(stack: &mut Stack<'_>, index: usize, argument: usize, function: &str) -> Result<usize, Raise> {
    let mut length = 0usize;
    stack.for_each(index, |stack, key, _| {
        let number = if stack.kind(key) == Type::Number { stack.number(key) } else { None };
        match number {
            Some(n) if n >= 1.0 && n.floor() == n => {
                length = length.max(usize::saturated(n));
                Ok(())
            }
            _ => Err(Raise::argument(argument, function, "non-array table found")),
        }
    })?;
    Ok(length)
}

/// Appends the table at `index`, if it is a plain list of strings, numbers and such lists; whether it is.
pub(crate) fn push_plain_list(stack: &mut Stack<'_>, index: usize, out: &mut Vec<u8>) -> bool {
    let start = out.len();
    let whole = stack.each_piece(index, |piece| match piece {
        Piece::Number(value) => number::push_printed(out, value),
        Piece::Bytes(bytes) => out.extend_from_slice(bytes),
    });
    if !whole {
        out.truncate(start);
    }
    whole
}

fn push_list(stack: &mut Stack<'_>, index: usize, argument: usize, function: &str, out: &mut Vec<u8>) -> Result<(), Raise> {
    if push_plain_list(stack, index, out) {
        return Ok(());
    }
    let length = array_length(stack, index, argument, function)?;
    let top = stack.top();
    if !stack.reserve(8) {
        return Err("stack overflow".into());
    }
    for item in 1..=length {
        let kind = stack.get_item(index, item);
        let result = match kind {
            Type::Number | Type::String | Type::Nil | Type::Boolean | Type::LightUserdata | Type::Table => {
                push_value(stack, top + 1, argument, function, out)
            }
            other => Err(Raise::argument(argument, function, &format!("bad data type {} found", other.name()))),
        };
        stack.truncate(top);
        result?;
    }
    Ok(())
}
