//! TLS on cosockets: `sslhandshake`, `setclientcert`, `settrustedstore` and the directives `lua_ssl_*`.

pub mod handshake;
pub mod objects;
pub mod sessions;
pub mod settings;
pub mod store;

use crate::ANYWHERE;
use crate::host::host;
use base::log::Level;
use base::saturated::Saturated;
use lua::{CallContext, PhaseSet, Raise, Row, Stack, YIELDABLE};
use objects::{Object, Objects};
use std::rc::Rc;
use tls::certificate::{Chain, Key};

/// The rows.
#[must_use]
pub fn rows() -> Vec<Row> {
    vec![
        Row::suspends("sslhandshake", YIELDABLE, handshake::handshake),
        Row::calls("sslsession", YIELDABLE, handshake::session),
        Row::calls("settrustedstore", YIELDABLE, store::set),
        Row::fast::<ANYWHERE, _, _>("session_free", free),
        Row::calls("tls_chain", PhaseSet::EVERYWHERE, push_chain),
        Row::calls("tls_key", PhaseSet::EVERYWHERE, push_key),
        Row::fast::<ANYWHERE, _, _>("tls_free", drop_object),
    ]
}

/// Keeps what another library made and wrote as DER; returns its number.
fn push_object(cx: &CallContext, stack: &mut Stack<'_>, object: Option<Object>) -> usize {
    match host(cx).zip(object) {
        Some((host, object)) => stack.push_number(host.runtime().state::<Objects>().add(object)),
        None => stack.push_nil(),
    }
    1
}

fn push_chain(cx: &CallContext, stack: &mut Stack<'_>) -> Result<usize, Raise> {
    let chain = Chain::from_der(stack.check_bytes(1, "tls_chain")?).ok();
    Ok(push_object(cx, stack, chain.map(|chain| Object::Chain(Rc::new(chain)))))
}

fn push_key(cx: &CallContext, stack: &mut Stack<'_>) -> Result<usize, Raise> {
    let key = Key::from_der(stack.check_bytes(1, "tls_key")?).ok();
    Ok(push_object(cx, stack, key.map(|key| Object::Key(Rc::new(key)))))
}

/// The Lua object of this number is gone.
fn drop_object(cx: &CallContext, id: f64) {
    if let Some(host) = host(cx) {
        host.runtime().state::<Objects>().remove(id);
    }
}

/// Lets go of the session that no Lua object holds any more; false: it is not to be had here and now.
fn free(cx: &CallContext, id: f64) -> bool {
    let Some(host) = host(cx) else { return false };
    let Some(slot) = host.hub().and_then(|hub| hub.sessions.remove(u64::saturated(id))) else { return false };
    if let Some(log) = host.worker().map(|worker| &worker.log).filter(|log| log.enabled(Level::Debug)) {
        log.write(Level::Debug, 0, format!("lua ssl free session: {}", sessions::log_name(&slot)).as_bytes());
    }
    true
}
