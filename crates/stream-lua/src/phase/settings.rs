//! Directives of Lua that only set something: paths, limits, switches, of cosockets too.

use crate::host::Sessions;
use conf::context::Context;
use lua_session::{secure_settings, settings, socket_settings};
use session::Configured;
use shm::dict::STREAM_OWNER;
use stream::{Module, Session};

const HERE: Context = Session::BLOCKS;

/// `lua_package_path`, `lua_code_cache` and the other settings of Lua.
pub const MODULE: Module =
    Module { rows: || settings::rows::<Sessions>(HERE, STREAM_OWNER), levels: settings::levels, ..Module::named("lua_settings") };

/// The directives of cosockets.
pub const SOCKETS: Module = Module { rows: || socket_settings::rows(HERE), levels: socket_settings::levels, ..Module::named("lua_socket") };

/// The directives of TLS on cosockets.
pub const SECURE: Module = Module {
    rows: || secure_settings::rows(HERE),
    levels: secure_settings::levels,
    complete: secure_settings::complete,
    attach: |at| secure_settings::attach::<Session>(at),
    ..Module::named("lua_ssl")
};
