//! Directives of Lua that only set something: paths, limits, switches, of cosockets too.

use crate::host::Requests;
use crate::options::{self, Options};
use conf::context::{Arity, Context};
use conf::row::Row;
use http::{Levels, Module, Request};
use lua_lib::Runtime;
use lua_session::{secure_settings, settings, socket_settings};
use shm::dict::OWNER;

/// `lua_package_path`, `lua_code_cache` and the other settings of Lua.
pub const MODULE: Module = Module { rows, levels, ..Module::named("lua_settings") };

/// The directives of cosockets.
pub const SOCKETS: Module =
    Module { rows: || socket_settings::rows(Context::HTTP_IF), levels: socket_settings::levels, ..Module::named("lua_socket") };

/// The directives of TLS on cosockets.
pub const SECURE: Module = Module {
    rows: || secure_settings::rows(Context::HTTP_ALL),
    levels: secure_settings::levels,
    complete: secure_settings::complete,
    attach: |at| secure_settings::attach::<Request>(at),
    ..Module::named("lua_ssl")
};

fn rows() -> Vec<Row> {
    let mut rows = options::rows();
    rows.extend(settings::rows::<Requests>(Context::HTTP_IF, OWNER));
    rows.push(Row::new(
        "lua_worker_thread_vm_pool_size",
        Context::HTTP,
        Arity::exactly(1),
        "How many machines run_worker_thread may have.",
        |cx| {
            let value = cx.number(0)?;
            cx.main::<Runtime>().thread_machines.set(Some(value));
            Ok(())
        },
    ));
    rows
}

fn levels(levels: &mut Levels) {
    settings::levels(levels);
    levels.location::<Options>();
}
