//! TLS on cosockets: `sslhandshake`, `setclientcert` and the directives `lua_ssl_*`.

pub mod credentials;
pub mod handshake;
pub mod sessions;
pub mod settings;

use crate::api::ANYWHERE;
use lua::{Row, YIELDABLE};

/// The rows.
#[must_use]
pub fn rows() -> Vec<Row> {
    vec![
        Row::suspends("sslhandshake", YIELDABLE, handshake::handshake),
        Row::calls("sslsession", YIELDABLE, handshake::session),
        Row::fast::<ANYWHERE, _, _>("session_free", sessions::free),
    ]
}
