//! `srcache_*`: whole answers kept behind a location, such as one that speaks to memcached or Redis or runs Lua (srcache-nginx-module).
//!
//! `conf` has the directives, `fetch` asks before the content is made, `store` copies the answer on its way.

mod conf;
mod fetch;
mod state;
mod store;

use crate::marks;
use crate::srcache::conf::{Conf, rows};
use crate::srcache::state::State;
use base::text::push_number;
use http::variables::define;
use http::{Attach, Levels, Module, Phase, Request, Variables};
use session::variable::NO_CACHE;

/// The module. It asks behind everything else that decides about access, and keeps what filters of Lua have made of an answer.
pub const MODULE: Module = Module { rows, levels: Levels::location_only::<Conf>, variables, attach, ..Module::named("srcache") };

fn attach(at: &mut Attach<'_>) -> Result<(), ::conf::tree::Error> {
    let own = at.conf::<Conf>();
    let has_store = own.store.is_some();
    if own.fetch.is_none() && !has_store {
        return Ok(());
    }
    let for_head = own.clone();
    at.phase(Phase::Access, move |request| fetch::handle(request, &own));
    if has_store {
        let for_body = for_head.clone();
        at.header_filter(move |request| store::header_filter(request, &for_head));
        at.body_filter_on_demand(marks::SRCACHE, move |request, chain| store::body_filter(request, chain, &for_body));
    }
    Ok(())
}

fn variables(variables: &mut Variables) {
    define(variables, "srcache_expire", NO_CACHE, |request, out| {
        let Some(seconds) = state(request, State::expire).flatten() else { return false };
        push_number(out, seconds.max(0).cast_unsigned());
        true
    });
    define(variables, "srcache_fetch_status", NO_CACHE, |request, out| {
        out.extend_from_slice(state(request, State::fetch_status).unwrap_or("BYPASS").as_bytes());
        true
    });
    define(variables, "srcache_store_status", NO_CACHE, |request, out| {
        let stores = state(request, State::stores).unwrap_or(false);
        out.extend_from_slice(if stores { b"STORE" } else { b"BYPASS" });
        true
    });
}

fn state<R>(request: &Request, read: impl FnOnce(&State) -> R) -> Option<R> {
    // The location that stores may ask as well.
    let own = request.find_context::<State>();
    own.or_else(|| request.parent.as_ref()?.find_context::<State>()).map(|state| read(&state))
}
