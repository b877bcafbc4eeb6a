//! Directives that only set something: paths, limits, switches.

use crate::options::RunOptions;
use crate::process_code::ProcessCode;
use crate::protocol::Protocol;
use base::log::MAX_LINE;
use conf::context::{Arity, Context};
use conf::row::{self, Cx, Row};
use conf::tree::Error;
use lua_lib::Runtime;
use lua_lib::ngx::errlog::Capture;
use session::paths::MainContext;
use session::{Configured, Levels};
use shm::zone::MIN_SIZE;
use shm::{ClaimError, Zones};
use std::cell::Cell;

/// The rows; the switches of code stand in the blocks `at`, and zones of dictionaries are claimed by `owner`.
// tidy: table
#[must_use]
pub fn rows<P: Protocol>(at: Context, owner: &'static str) -> Vec<Row> {
    let (main, one) = (P::Session::OUTERMOST, Arity::exactly(1));
    vec![
        row::flag("lua_check_client_abort", at, "Notices when the client goes.", |o: &mut RunOptions| &mut o.check_client_abort),
        Row::new("lua_package_path", main, one, "Where require looks for Lua modules.", |cx| {
            cx.once(&mut cx.main::<Runtime>().path.borrow_mut(), search_path(cx))
        }),
        Row::new("lua_package_cpath", main, one, "Where require looks for C modules.", |cx| {
            cx.once(&mut cx.main::<Runtime>().cpath.borrow_mut(), search_path(cx))
        }),
        Row::new("lua_shared_dict", main, Arity::exactly(2), "Declares a dictionary that all workers share.", move |cx| {
            shared_dict(cx, owner)
        }),
        Row::new("lua_code_cache", at, Arity::Flag, "Keeps compiled code between sessions.", code_cache::<P>),
        Row::new("lua_yield_in_all_phases", at, Arity::Flag, "Lets all phases wait.", yield_everywhere::<P::Session>),
        Row::new("lua_max_pending_timers", main, one, "How many timers may wait.", |cx| {
            let value = cx.number(0)?;
            cx.main::<Runtime>().max_pending_timers.set(Some(value));
            Ok(())
        }),
        Row::new("lua_max_running_timers", main, one, "How many timers may run at once.", |cx| {
            let value = cx.number(0)?;
            cx.main::<Runtime>().max_running_timers.set(Some(value));
            Ok(())
        }),
        Row::new("lua_regex_cache_max_entries", main, one, "How many compiled expressions a worker keeps.", |cx| {
            set_number(cx, |runtime| &runtime.regex_cache_entries)
        }),
        Row::new("lua_regex_match_limit", main, one, "How many steps a match may take.", |cx| {
            set_number(cx, |runtime| &runtime.regex_match_limit)
        }),
        Row::new("lua_sa_restart", main, Arity::Flag, "Whether signals leave system calls alone.", |cx| {
            let value = cx.flag(0)?;
            cx.main::<Runtime>().used.set(true);
            cx.main::<Runtime>().sa_restart.set(Some(value));
            Ok(())
        }),
        Row::new("lua_thread_cache_max_entries", main, one, "How many idle coroutines are kept.", |cx| {
            let value = cx.number(0)?;
            cx.main::<Runtime>().idle_slots.set(Some(value));
            Ok(())
        }),
        Row::new("lua_max_cpu_time", main, one, "How long Lua code may run without a pause.", |cx| {
            let value = cx.time_ms(0)?;
            set_limit(cx, |runtime| &runtime.max_cpu_time, value)
        }),
        Row::new("lua_max_memory", main, one, "How much memory Lua may use in a worker.", |cx| {
            let value = cx.size(0)?;
            set_limit(cx, |runtime| &runtime.max_memory, value)
        }),
        Row::new("lua_malloc_trim", main, one, "Has no effect: the allocator gives memory back by itself.", |cx| cx.number(0).map(|_| ())),
        Row::new("lua_load_resty_core", main, Arity::Flag, "Has no effect: resty.core is built in.", |cx| {
            let since = if P::Session::OUTERMOST == Context::STREAM { "ngx_stream_lua v0.0.8" } else { "ngx_lua v0.10.16" };
            cx.warn(format!("lua_load_resty_core is deprecated (the lua-resty-core library is required since {since})"));
            cx.flag(0).map(|_| ())
        }),
        Row::new("lua_capture_error_log", main, one, "Keeps the last lines of the error log.", capture_error_log),
    ]
}

fn set_number(cx: &Cx<'_>, field: fn(&Runtime) -> &Cell<Option<u64>>) -> Result<(), Error> {
    let value = cx.number(0)?;
    let runtime = cx.main::<Runtime>();
    let field = field(&runtime);
    let mut slot = field.get();
    cx.once(&mut slot, value)?;
    field.set(slot);
    Ok(())
}

/// The configuration types.
pub fn levels(levels: &mut Levels) {
    levels.main::<Runtime>().location::<RunOptions>();
}

/// The argument with `$prefix` and `${prefix}` put in.
fn search_path(cx: &Cx<'_>) -> String {
    let prefix = cx.global::<MainContext>().paths.prefix.to_string_lossy().into_owned();
    cx.text(0).replace("${prefix}", &prefix).replace("$prefix", &prefix)
}

fn code_cache<P: Protocol>(cx: &mut Cx<'_>) -> Result<(), Error> {
    let on = cx.flag(0)?;
    cx.once(&mut cx.location::<RunOptions>().code_cache, on)?;
    if !on {
        cx.alert(format!("{}lua_code_cache is off; this will hurt performance", P::PREFIX));
    }
    Ok(())
}

/// Somebody keeps the lines of the error log; another protocol's code cannot.
#[derive(Default)]
struct LogHook(bool);

/// `lua_capture_error_log SIZE`
fn capture_error_log(cx: &mut Cx<'_>) -> Result<(), Error> {
    let runtime = cx.main::<Runtime>();
    let capture = runtime.state::<Capture>();
    if capture.size.get() > 0 {
        return Err(cx.duplicate());
    }
    let text = cx.text(0);
    if text.is_empty() {
        return Err(cx.error_at(0, format!("invalid capture error log size \"{text}\"")));
    }
    let size = cx.size(0).ok().and_then(|size| usize::try_from(size).ok()).filter(|size| *size >= MAX_LINE);
    let short = || cx.error_at(0, format!("invalid capture error log size \"{text}\", minimum size is {MAX_LINE}"));
    let size = size.ok_or_else(short)?;
    if std::mem::replace(&mut cx.global::<LogHook>().0, true) {
        return Err(cx.error("\"lua_capture_error_log\" directive capture error log handler has been hooked"));
    }
    capture.size.set(size);
    runtime.used.set(true);
    Ok(())
}

/// `lua_yield_in_all_phases on | off`; where the outermost block has it, `init_worker_by_lua*` has it too.
fn yield_everywhere<S: Configured>(cx: &mut Cx<'_>) -> Result<(), Error> {
    let on = cx.flag(0)?;
    cx.once(&mut cx.location::<RunOptions>().yield_everywhere, on)?;
    if cx.context == S::OUTERMOST {
        cx.main::<ProcessCode<S>>().init_worker_waits.set(on);
    }
    Ok(())
}

/// A limit that may stand once; 0 is none.
fn set_limit(cx: &mut Cx<'_>, field: fn(&Runtime) -> &Cell<Option<u64>>, value: u64) -> Result<(), Error> {
    let before = field(&cx.main::<Runtime>()).replace(Some(value));
    if before.is_some() { Err(cx.duplicate()) } else { Ok(()) }
}

/// `lua_shared_dict NAME SIZE` (`ngx_http_lua_directive.c`).
fn shared_dict(cx: &mut Cx<'_>, owner: &'static str) -> Result<(), Error> {
    let name = cx.text(0);
    if name.is_empty() {
        return Err(cx.error_at(0, format!("invalid lua shared dict name \"{name}\"")));
    }
    let invalid = || cx.error_at(1, format!("invalid lua shared dict size \"{}\"", cx.text(1)));
    let size = cx.size(1).map_err(|_| invalid())?;
    let size = usize::try_from(size).ok().filter(|size| *size > 8191).ok_or_else(invalid)?;
    // The allocator needs some pages; a dictionary of two would hold next to nothing.
    let zone = match cx.global::<Zones>().claim(&name, owner, size.max(MIN_SIZE)) {
        Ok(zone) => zone,
        Err(ClaimError::Bound(_)) => {
            return Err(cx.error(format!("lua_shared_dict \"{name}\" is already defined as \"{name}\"")));
        }
        Err(error) => return Err(cx.error(error.to_string())),
    };
    let runtime = cx.main::<Runtime>();
    runtime.used.set(true);
    runtime.dicts.borrow_mut().push(zone);
    Ok(())
}
