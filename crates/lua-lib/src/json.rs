//! `cjson` and `cjson.safe`: lua-cjson's functions, as OpenResty has them (`lua_cjson.c`).
//!
//! The functions that configure an instance are Lua; each call of the others brings the settings along.

mod decode;
mod encode;
mod quoted;

use lua::{Group, PhaseSet, Row};

/// The address that `cjson.empty_array` is known by.
static EMPTY_ARRAY: u8 = 0;

fn empty_array() -> usize {
    // Lua keeps 47 bits, which is all that addresses have.
    std::ptr::from_ref(&EMPTY_ARRAY).addr()
}

/// The part's rows and glue.
#[must_use]
pub fn group() -> Group {
    let all = PhaseSet::EVERYWHERE;
    Group {
        name: "cjson",
        rows: vec![
            Row::calls("json_encode", all, encode::encode),
            Row::calls("json_decode", all, decode::decode),
            Row::calls("json_empty_array", all, |_, stack| {
                stack.push_light(empty_array());
                Ok(1)
            }),
        ],
        glue: include_str!("json.lua"),
    }
}

#[cfg(test)]
mod tests;
