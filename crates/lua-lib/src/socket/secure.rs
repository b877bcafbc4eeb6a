//! TLS on cosockets: `sslhandshake`, `setclientcert`, `settrustedstore` and the directives `lua_ssl_*`.

pub mod handshake;
pub mod objects;
pub mod sessions;
pub mod settings;
pub mod store;

use crate::ANYWHERE;
use crate::host::host;
use base::log::Level;
use lua::{CallContext, Row, YIELDABLE};

/// The rows.
#[must_use]
pub fn rows() -> Vec<Row> {
    vec![
        Row::suspends("sslhandshake", YIELDABLE, handshake::handshake),
        Row::calls("sslsession", YIELDABLE, handshake::session),
        Row::calls("settrustedstore", YIELDABLE, store::set),
        Row::fast::<ANYWHERE, _, _>("session_free", free),
    ]
}

/// Lets go of the session that no Lua object holds any more; false: it is not to be had here and now.
fn free(cx: &CallContext, id: f64) -> bool {
    let Some(host) = host(cx) else { return false };
    let Some(slot) = host.hub().and_then(|hub| hub.sessions.remove(id as u64)) else { return false };
    if let Some(log) = host.worker().map(|worker| &worker.log).filter(|log| log.enabled(Level::Debug)) {
        log.write(Level::Debug, 0, format!("lua ssl free session: {}", sessions::shown(&slot)).as_bytes());
    }
    true
}
