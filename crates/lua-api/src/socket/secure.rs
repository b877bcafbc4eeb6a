//! TLS on cosockets: `sslhandshake`, `setclientcert`, `settrustedstore` and the directives `lua_ssl_*`.

pub mod handshake;
pub mod sessions;
pub mod settings;
pub mod store;

use crate::api::ANYWHERE;
use crate::host::Host;
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

/// Lets go of the session that no Lua object holds any more; 0: it is not to be had here and now.
fn free(cx: &CallContext, id: f64) -> i32 {
    let freed = cx.with_host::<Host, _>(|host| {
        let host = host?;
        let slot = host.hub.as_ref()?.sessions.remove(id as u64)?;
        if let Some(log) = host.worker.as_ref().map(|worker| &worker.log).filter(|log| log.enabled(Level::Debug)) {
            log.write(Level::Debug, 0, format!("lua ssl free session: {}", sessions::shown(&slot)).as_bytes());
        }
        Some(())
    });
    i32::from(freed.is_some())
}
