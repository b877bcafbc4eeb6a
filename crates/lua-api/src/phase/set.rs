//! `set_by_lua*`: a variable's value from Lua, at its place among the rewrite directives.

use crate::code::Code;
use crate::dev_page;
use crate::host::Host;
use crate::phase::entry::{Entry, Run};
use crate::state::State;
use conf::context::{Arity, Context};
use conf::row::{Cx, Row};
use conf::tree::Error;
use http::assigned;
use http::program::Program;
use http::{Complex, Module, Outcome, Request, Step, Variables};
use lua::{LuaError, Stack};
use lua_lib::Runtime;
use lua_session::directive;
use session::variable::{self, VarIndex};
use std::cell::OnceCell;
use std::rc::Rc;

/// `set_by_lua`, `set_by_lua_file`, `set_by_lua_block`.
pub const MODULE: Module = Module { rows, ..Module::named("lua_set") };

const HERE: Context = Context::SERVER.union(Context::SERVER_IF).union(Context::LOCATION).union(Context::LOCATION_IF);

fn rows() -> Vec<Row> {
    let doc = "Sets a variable to what Lua returns.";
    vec![
        Row::new("set_by_lua", HERE, Arity::AtLeast(2), doc, |cx| row(cx, false)),
        Row::new("set_by_lua_file", HERE, Arity::AtLeast(2), doc, |cx| row(cx, true)),
        Row::new("set_by_lua_block", HERE, Arity::exactly(2), doc, |cx| row(cx, false)),
    ]
}

fn row(cx: &mut Cx<'_>, is_file: bool) -> Result<(), Error> {
    directive::check_block(cx)?;
    let Some(name) = cx.arg(0).strip_prefix(b"$").filter(|name| !name.is_empty()) else {
        return Err(cx.error_at(0, format!("invalid variable name \"{}\"", cx.text(0))));
    };
    if cx.arg(1).is_empty() {
        return Err(cx.error("invalid location config: no runnable Lua code"));
    }
    cx.main::<Runtime>().used.set(true);
    let name = String::from_utf8_lossy(name).into_owned();
    let index = assigned::define(&mut cx.global::<Variables>(), &name).map_err(|message| cx.error_at(0, message))?;
    let compile = |i: usize| Complex::compile(cx.arg(i), &mut cx.global::<Variables>()).map_err(|message| cx.error_at(i, message));
    let code = if is_file { Code::file(compile(1)?) } else { Code::inline(cx.arg(1), directive::chunk_name(cx, "set_by_lua")) };
    let arguments = (2..cx.args().len()).map(compile).collect::<Result<Vec<_>, _>>()?;
    let entry = OnceCell::new();
    cx.location::<Program>().push_custom(Rc::new(move |request| {
        let entry = entry.get_or_init(|| Entry::of_session(request, code.clone(), lua::LuaPhase::SET));
        if entry.may_wait() { run_waiting(entry, &arguments, index, request) } else { run(entry, &arguments, index, request) }
    }));
    Ok(())
}

fn run_waiting(entry: &Rc<Entry>, arguments: &[Complex], index: VarIndex, request: &Rc<Request>) -> Step {
    let values: Vec<Vec<u8>> = arguments.iter().map(|a| a.to_vec(&**request)).collect();
    let pushed = values.clone();
    let before = |host: &Host| drop(host.arguments.values.replace(values));
    let push = |stack: &mut Stack<'_>| {
        pushed.iter().for_each(|value| stack.push_bytes(value));
        pushed.len()
    };
    let after = move |request: &Rc<Request>, host: &Host, ended: Result<(), LuaError>| {
        host.arguments.values.borrow_mut().clear();
        let value = host.machine.vm.cx().take_result();
        match ended {
            Ok(()) => {
                variable::assign(&**request, index, &value);
                Step::Now(Outcome::Declined)
            }
            Err(error) => failed(request, &error),
        }
    };
    match entry.run_waiting(request, before, push, after) {
        Run::Now(step) => step,
        Run::Wait(future) => Step::wait(|| async move { future.await.finish().await }),
        Run::Refused(error) => failed(request, &error),
    }
}

fn run(entry: &Entry, arguments: &[Complex], index: VarIndex, request: &Rc<Request>) -> Step {
    let values: Vec<Vec<u8>> = arguments.iter().map(|a| a.to_vec(&**request)).collect();
    let pushed = values.clone();
    let result = entry.run_now(
        request,
        State::of(request),
        |host| {
            host.arguments.values.replace(values);
        },
        |stack| {
            pushed.iter().for_each(|value| stack.push_bytes(value));
            pushed.len()
        },
        |stack| stack.bytes(1).map(<[u8]>::to_vec),
        |host| host.arguments.values.borrow_mut().clear(),
    );
    match result {
        Ok(value) => {
            variable::assign(&**request, index, &value.unwrap_or_default());
            Step::Now(Outcome::Declined)
        }
        Err(error) => failed(request, &error),
    }
}

fn failed(request: &Rc<Request>, error: &LuaError) -> Step {
    if dev_page::is_wanted(request) {
        return dev_page::send(request, lua::LuaPhase::SET.name, error);
    }
    Step::Now(Outcome::Status(500))
}
