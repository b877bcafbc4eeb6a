//! The data argument of `send`: a string, a number, or nested lists of these.

use crate::number;
use crate::shown::{array_length, push_plain_list, push_value};
use lua::{Raise, Stack, Type};

/// How deep lists may nest; deeper ones are circles.
const DEEPEST: usize = 100;

/// Appends the value at `index`, the method's argument.
///
/// # Errors
/// `bad argument #2 to 'send' (…)`, the object counted: as OpenResty, lists are stricter than the value itself, which may be nil or a boolean.
pub fn push(stack: &mut Stack<'_>, index: usize, out: &mut Vec<u8>) -> Result<(), Raise> {
    match stack.kind(index) {
        Type::Number | Type::String | Type::Nil | Type::Boolean => push_value(stack, index, 2, "send", out),
        Type::Table if push_plain_list(stack, index, out) => Ok(()),
        Type::Table => list(stack, index, out, DEEPEST),
        other => Err(bad(&format!("string, number, boolean, nil, or array table expected, got {}", other.name()))),
    }
}

fn bad(what: &str) -> Raise {
    Raise::argument(2, "send", what)
}

fn list(stack: &mut Stack<'_>, index: usize, out: &mut Vec<u8>, deep: usize) -> Result<(), Raise> {
    if deep == 0 || !stack.reserve(8) {
        return Err("stack overflow".into());
    }
    let length = array_length(stack, index, 2, "send")?;
    let top = stack.top();
    for item in 1..=length {
        match stack.get_item(index, item) {
            Type::String => out.extend_from_slice(stack.bytes(top + 1).unwrap_or_default()),
            Type::Number => number::push_printed(out, stack.number(top + 1).unwrap_or_default()),
            Type::Table => list(stack, top + 1, out, deep - 1)?,
            Type::LightUserdata => return Err(bad("bad data type userdata found")),
            other => return Err(bad(&format!("bad data type {} found", other.name()))),
        }
        stack.truncate(top);
    }
    Ok(())
}
