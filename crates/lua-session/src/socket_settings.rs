//! The `lua_socket_*` directives (lua-nginx-module's README, "Directives").

use conf::context::{Arity, Context};
use conf::row::{self, Row};
use lua_lib::socket::settings::SocketOptions;
use session::Levels;

/// The rows, in these blocks.
#[must_use]
pub fn rows(at: Context) -> Vec<Row> {
    vec![
        row::time_ms("lua_socket_connect_timeout", at, "How long connecting may take.", |o: &mut SocketOptions| &mut o.connect_timeout),
        row::time_ms("lua_socket_send_timeout", at, "How long one send may wait.", |o: &mut SocketOptions| &mut o.send_timeout),
        row::time_ms("lua_socket_read_timeout", at, "How long a receive may wait.", |o: &mut SocketOptions| &mut o.read_timeout),
        row::time_ms("lua_socket_keepalive_timeout", at, "How long a connection may be idle.", |o: &mut SocketOptions| {
            &mut o.keepalive_timeout
        }),
        row::number("lua_socket_pool_size", at, "How many connections a pool keeps.", |o: &mut SocketOptions| &mut o.pool_size),
        row::size("lua_socket_buffer_size", at, "How much one read may bring.", |o: &mut SocketOptions| &mut o.buffer_size),
        row::flag("lua_socket_log_errors", at, "Logs the errors of sockets.", |o: &mut SocketOptions| &mut o.log_errors),
        Row::new("lua_socket_send_lowat", at, Arity::exactly(1), "Has no effect on Linux, as in OpenResty.", |cx| cx.size(0).map(|_| ())),
    ]
}

/// The configuration types.
pub fn levels(levels: &mut Levels) {
    levels.location::<SocketOptions>();
}
