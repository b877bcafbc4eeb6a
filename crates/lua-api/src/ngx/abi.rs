//! Functions of a request by the names that they have in lua-nginx-module's C code, for code that calls them through `ffi.C`.
//!
//! They are written in Lua, over what `ngx` offers; the request that such code hands over is only compared with the one that runs.

use crate::host::{Host, with_request};
use base::saturated::Saturated;
use http::metrics::Counter;
use lua::{CallContext, Group, PhaseSet, Row};
use lua_session::ctx::FAILED;
use lua_session::slots::HandshakeCtx;
use std::cell::RefCell;

const ALL: u32 = PhaseSet::EVERYWHERE.bits();

/// The part's rows and glue.
#[must_use]
pub(super) fn group() -> Group {
    Group {
        name: "requests by C names",
        rows: vec![
            Row::fast::<ALL, _, _>("ctx_keep", ctx_keep),
            Row::fast::<ALL, _, _>("req_field_count", field_count),
            Row::fast::<ALL, _, _>("req_field", field),
            Row::fast::<ALL, _, _>("stat", stat),
            Row::constant("FAILED", FAILED),
        ],
        glue: include_str!("abi.lua"),
    }
}

/// Tables of `ngx.ctx` that stay until their request ends, because code knows their numbers.
#[derive(Default)]
struct SavedCtx(RefCell<Vec<HandshakeCtx>>);

/// The number of the request's `ngx.ctx`, which is its own until the request ends, over internal redirects too.
fn ctx_keep(cx: &CallContext) -> i32 {
    cx.with_host::<Host, _>(|host| {
        let request = host.and_then(|host| Some((host, host.session.as_ref()?)));
        let Some((host, request)) = request else { return FAILED };
        let slot = host.state.common.ctx.slot(&host.slots).saturating_abs();
        // Without a client nothing is redirected, and what a handshake leaves has a life of its own.
        if request.purpose.get().is_empty()
            && let Some(saved) = host.state.common.ctx.share()
        {
            request.client_context::<SavedCtx>().0.borrow_mut().push(saved);
        }
        slot
    })
}

/// A counter of nginx's status page by its place in the order of `abi.lua`; all workers are counted together.
fn stat(cx: &CallContext, place: f64) -> f64 {
    const COUNTERS: [Counter; 6] =
        [Counter::Accepted, Counter::Handled, Counter::Requests, Counter::Active, Counter::Reading, Counter::Writing];
    let worker = cx.with_host::<Host, _>(|host| host.and_then(|host| host.worker.clone()));
    let sums = worker.map_or([0; 6], |worker| COUNTERS.map(|counter| worker.sum(counter)));
    let [.., active, reading, writing] = sums;
    sums.get(usize::saturated(place)).copied().unwrap_or(active.saturating_sub(reading + writing)) as f64
}

fn field_count(cx: &CallContext) -> i32 {
    with_request(cx, -1, |_, request| i32::try_from(request.headers.borrow().len()).unwrap_or(i32::MAX))
}

/// Puts name and value of a field of the request; returns the name's length.
fn field(cx: &CallContext, at: i32) -> i32 {
    with_request(cx, -1, |_, request| {
        let headers = request.headers.borrow();
        let Some((name, value)) = usize::try_from(at).ok().and_then(|at| headers.iter().nth(at)) else { return -1 };
        cx.set_text(&[name, value].concat());
        i32::try_from(name.len()).unwrap_or(-1)
    })
}
