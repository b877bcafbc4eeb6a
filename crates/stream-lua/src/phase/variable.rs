//! `lua_add_variable`: variables that Lua sets.

use conf::context::{Arity, Context};
use conf::row::{Cx, Row};
use conf::tree::Error;
use session::variable::CHANGEABLE;
use stream::{Module, Variables};

/// `lua_add_variable`
pub const MODULE: Module = Module { rows, ..Module::named("lua_variables") };

fn rows() -> Vec<Row> {
    vec![Row::new("lua_add_variable", Context::STREAM, Arity::exactly(1), "Adds a variable that Lua sets.", add)]
}

fn add(cx: &mut Cx<'_>) -> Result<(), Error> {
    let Some(name) = cx.arg(0).strip_prefix(b"$") else {
        return Err(cx.error_at(0, format!("\"lua_add_variable\" directive invalid variable name \"{}\"", cx.text(0))));
    };
    let name = String::from_utf8_lossy(name).into_owned();
    // Until it is set it is not found.
    cx.global::<Variables>().add(&name, None, CHANGEABLE).map(|_| ()).map_err(|message| cx.error_at(0, message))
}
