//! Directives of the core stream module.

use super::listen;
use crate::directives::error_log;
use conf::context::{Arity, Context};
use conf::row::{self, Row};
use stream::Core;

/// `stream` and `server`.
const HERE: Context = Context::STREAM.union(Context::STREAM_SERVER);

// tidy: table
pub(super) fn rows() -> Vec<Row> {
    vec![
        Row::new("server_name", Context::STREAM_SERVER, Arity::AtLeast(1), "Names of the server.", listen::server_name),
        Row::new("error_log", HERE, Arity::AtLeast(1), "Where errors are logged, and from which level on.", |cx| {
            let earlier = cx.location::<Core>().error_log.clone();
            let log = error_log::add(cx, earlier)?;
            cx.location::<Core>().error_log = Some(log);
            Ok(())
        }),
        row::time_ms("proxy_protocol_timeout", HERE, "Longest time for a PROXY protocol header.", |core: &mut Core| {
            &mut core.proxy_protocol_timeout
        }),
        row::flag("tcp_nodelay", HERE, "Small pieces are sent at once.", |core: &mut Core| &mut core.tcp_nodelay),
        row::size("preread_buffer_size", HERE, "Most bytes that are looked at before content.", |core: &mut Core| {
            &mut core.preread_buffer_size
        }),
        row::time_ms("preread_timeout", HERE, "Longest time to look at the first bytes.", |core: &mut Core| &mut core.preread_timeout),
    ]
}
