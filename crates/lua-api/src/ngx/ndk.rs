//! `ndk.set_var`: the functions behind directives such as `set_md5`, by their names (lua-nginx-module's README,
//! "ndk.set_var.DIRECTIVE").

use crate::host::Host;
use base::log::Level;
use conf::configs::ConfMap;
use http::set_function::SetFunctions;
use lua::{CallContext, Group, PhaseSet, Row};
use lua_lib::host::{log_context, with_host};

const ALL: u32 = PhaseSet::EVERYWHERE.bits();

/// Results of the row; errors are negative, with their text in the output buffer.
const DONE: i32 = 0;
const NO_FUNCTION: i32 = 1;
const REFUSED: i32 = 2;
const FAILED: i32 = -1;

/// The part's row and glue.
#[must_use]
pub fn group() -> Group {
    Group {
        name: "ndk",
        rows: vec![
            Row::fast::<ALL, _, _>("ndk_knows", exists),
            Row::fast::<ALL, _, _>("ndk_call", call),
            Row::constant("DONE", DONE),
            Row::constant("REFUSED", REFUSED),
        ],
        glue: include_str!("ndk.lua"),
    }
}

/// Runs `f` on all functions and on the values of the location that code runs in.
fn with_functions(cx: &CallContext, f: impl FnOnce(&SetFunctions, &ConfMap) -> i32) -> i32 {
    let result = cx.with_host::<Host, _>(|host| {
        let host = host?;
        let http = host.session.as_ref().map(|request| request.http.clone()).or_else(|| Some(host.worker.as_ref()?.http()))?;
        let location =
            host.session.as_ref().map(|request| request.location()).or_else(|| host.origin.as_ref().map(|origin| origin.location.clone()));
        let nothing = ConfMap::default();
        Some(f(http.main.get::<SetFunctions>()?, location.as_ref().map_or(&nothing, |location| &location.conf)))
    });
    result.unwrap_or_else(|| {
        cx.put(b"no request object found");
        FAILED
    })
}

fn exists(cx: &CallContext, name: &[u8]) -> i32 {
    with_functions(cx, |functions, _| if functions.find(name).is_some() { DONE } else { NO_FUNCTION })
}

fn call(cx: &CallContext, name: &[u8], value: &[u8]) -> i32 {
    with_functions(cx, |functions, conf| {
        let Some(function) = functions.find(name) else { return NO_FUNCTION };
        let mut result = Ok(());
        cx.fill(|out| result = (function.call)(conf, value, out));
        match result {
            Ok(()) => DONE,
            Err(error) => {
                with_host(cx, |host| host.map(|host| host.log(Level::Error, error.to_string().as_bytes(), log_context(cx))));
                REFUSED
            }
        }
    })
}

#[cfg(test)]
mod tests {
    use crate::ngx::tests::evaluate;

    #[test]
    fn without_a_request() {
        assert_eq!(evaluate("select(2, pcall(function() return ndk.set_var.set_md5('x') end))"), "test:1: no request object found");
        assert_eq!(evaluate("select(2, pcall(function() ndk.set_var.x = 1 end))"), "test:1: not allowed");
    }
}
