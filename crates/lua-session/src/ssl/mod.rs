//! TLS of servers for Lua: code that runs in handshakes, and the modules `ngx.ssl`, `ngx.ssl.clienthello`,
//! `ngx.ssl.session` and `ngx.ocsp`.
//!
//! `hooks` runs the code, each piece of it as a `handshake_code`, and `handshake_state` is the state of one handshake; the functions
//! that read and change it are in `certificates`, `facts`, `hello`, `sessions` and `ocsp`. `upstream_handshake` and `upstream` are the
//! same for handshakes with upstream servers. `abi` offers all of it under the names of C.

mod abi;
mod certificates;
mod facts;
mod handshake_code;
pub(crate) mod handshake_state;
mod hello;
pub mod hooks;
mod ocsp;
mod sessions;
mod upstream;
pub(crate) mod upstream_handshake;

use crate::host::Host;
use crate::protocol::Protocol;
use handshake_state::HandshakeState;
use lua::{CallContext, LuaPhase, Raise, Stack};
use session::Client;
use std::rc::Rc;

/// The groups.
#[must_use]
pub fn groups<P: Protocol>() -> Vec<lua::Group> {
    vec![
        certificates::group::<P>(),
        facts::group::<P>(),
        hello::group::<P>(),
        sessions::group::<P>(),
        ocsp::group::<P>(),
        upstream::group::<P>(),
        abi::group(),
    ]
}

/// What lua-nginx-module says where there is no TLS.
const PLAIN: &str = "bad request";

/// The session; none where code runs for none, as in timers.
fn session<P: Protocol>(cx: &CallContext) -> Result<Option<Rc<P::Session>>, Raise> {
    let host = cx.host::<Host<P>>().filter(|_| cx.phase() != Some(LuaPhase::INIT)).ok_or("no request found")?;
    Ok(host.session.clone())
}

/// The handshake that the code runs in; without one the words of lua-nginx-module.
fn handshake_state<P: Protocol>(cx: &CallContext) -> Result<Result<Rc<HandshakeState<P::Session>>, &'static str>, Raise> {
    let Some(session) = session::<P>(cx)? else { return Ok(Err(PLAIN)) };
    let shake = HandshakeState::current::<P>(&session);
    let missing = || if session.connection().is_tls() { "API disabled in the current context" } else { PLAIN };
    Ok(shake.ok_or_else(missing))
}

/// Returns `true`, or `nil` and why not.
fn push_success(stack: &mut Stack<'_>, result: Result<(), &str>) -> usize {
    match result {
        Ok(()) => {
            stack.push_bool(true);
            1
        }
        Err(text) => refused(stack, text),
    }
}

/// Returns a string, or `nil` and why there is none.
fn push_result(stack: &mut Stack<'_>, result: Result<impl AsRef<[u8]>, &str>) -> usize {
    match result {
        Ok(bytes) => {
            stack.push_bytes(bytes.as_ref());
            1
        }
        Err(text) => refused(stack, text),
    }
}

fn refused(stack: &mut Stack<'_>, text: &str) -> usize {
    stack.push_nil();
    stack.push_bytes(text.as_bytes());
    2
}
