//! TLS of servers for Lua: code that runs in handshakes, and the modules `ngx.ssl`, `ngx.ssl.clienthello`,
//! `ngx.ssl.session` and `ngx.ocsp`.
//!
//! `hooks` runs the code, each piece of it in a `moment`; a `shake` is one handshake while it lasts; what functions read and change of it stands in
//! `certificates`, `facts`, `hello`, `sessions` and `ocsp`. `toward` and `upstream` are the same for handshakes with upstream
//! servers. `abi` is all of it under the names of C.

mod abi;
mod certificates;
mod facts;
mod hello;
pub(crate) mod hooks;
mod moment;
mod ocsp;
mod sessions;
pub(crate) mod shake;
pub(crate) mod toward;
mod upstream;

use crate::host::Host;
use http::Request;
use lua::{CallContext, Raise, Stack};
use shake::Shake;
use std::rc::Rc;

/// The groups.
pub(crate) fn groups() -> Vec<lua::Group> {
    vec![certificates::group(), facts::group(), hello::group(), sessions::group(), ocsp::group(), upstream::group(), abi::group()]
}

/// The request.
fn request(cx: &CallContext) -> Result<(Rc<Host>, Rc<Request>), Raise> {
    let host = cx.host::<Host>().ok_or("no request found")?;
    let request = host.request.clone().ok_or("no request found")?;
    Ok((host, request))
}

/// The handshake that the code runs in; without one the words of lua-nginx-module.
fn shake(cx: &CallContext) -> Result<Result<Rc<Shake>, &'static str>, Raise> {
    let (_, request) = request(cx)?;
    let shake = Shake::around(&request);
    let missing = || if request.connection.is_tls() { "API disabled in the current context" } else { "bad request" };
    Ok(shake.ok_or_else(missing))
}

/// Answers `true`, or `nil` and why not.
fn done(stack: &mut Stack<'_>, result: Result<(), &str>) -> usize {
    match result {
        Ok(()) => {
            stack.push_bool(true);
            1
        }
        Err(text) => refused(stack, text),
    }
}

/// Answers a string, or `nil` and why there is none.
fn given(stack: &mut Stack<'_>, result: Result<impl AsRef<[u8]>, &str>) -> usize {
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
