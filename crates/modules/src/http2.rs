//! The directives of HTTP/2 and `$http2` (nginx manual, `ngx_http_v2_module`). The protocol itself is the front's.

use conf::context::{Arity, Context};
use conf::row::{Cx, Row};
use conf::tree::Error;
use http::http2::{Http2, Http2Output};
use http::line::Version;
use http::protocols::{Protocols, ServerProtocols};
use http::{Levels, Module, Variables};

/// HTTP/2.
pub const MODULE: Module = Module { rows, levels, variables, ..Module::named("v2") };

/// The largest window (RFC 9113, 6.9.1).
const MAX_WINDOW: u64 = (1 << 31) - 1;
/// The largest content of a frame (RFC 9113, 4.2).
const MAX_FRAME: u64 = (1 << 24) - 1;
/// nginx's smallest pool, and what pools are multiples of.
const POOL: (u64, u64) = (112, 16);

const SERVERS: Context = Context::HTTP.union(Context::SERVER);

/// Directives that nginx once had, and what stands in their place.
const OBSOLETE: [(&str, &str, Option<&str>); 8] = [
    ("http2_max_concurrent_pushes", "Obsolete: nothing is pushed.", None),
    ("http2_push", "Obsolete: nothing is pushed.", None),
    ("http2_push_preload", "Obsolete: nothing is pushed.", None),
    ("http2_max_requests", "Obsolete: keepalive_requests.", Some("keepalive_requests")),
    ("http2_max_field_size", "Obsolete: large_client_header_buffers.", Some("large_client_header_buffers")),
    ("http2_max_header_size", "Obsolete: large_client_header_buffers.", Some("large_client_header_buffers")),
    ("http2_recv_timeout", "Obsolete: client_header_timeout.", Some("client_header_timeout")),
    ("http2_idle_timeout", "Obsolete: keepalive_timeout.", Some("keepalive_timeout")),
];

// tidy: table
fn rows() -> Vec<Row> {
    let one = Arity::exactly(1);
    let mut rows = vec![
        Row::new("http2", SERVERS, one, "Whether HTTP/2 is spoken.", switch),
        Row::new("http2_max_concurrent_streams", SERVERS, one, "Most open streams of a connection.", |cx| {
            let value = cx.number(0)?;
            cx.once(&mut cx.server::<Http2>().max_streams, value)
        }),
        Row::new("http2_body_preread_size", SERVERS, one, "What a client may send of a body before it is asked for.", |cx| {
            let value = cx.size(0)?;
            if value > MAX_WINDOW {
                return Err(cx.error(format!("the maximum body preread buffer size is {MAX_WINDOW}")));
            }
            cx.once(&mut cx.server::<Http2>().preread, value)
        }),
        Row::new("http2_chunk_size", Context::HTTP_ALL, one, "Most content of one frame.", |cx| {
            let value = cx.size(0)?;
            if value == 0 {
                return Err(cx.error("the http2 chunk size cannot be zero"));
            }
            cx.once(&mut cx.location::<Http2Output>().chunk, value.min(MAX_FRAME))
        }),
        Row::new("http2_recv_buffer_size", Context::HTTP, one, "Checked only: buffers are as large as needed.", |cx| {
            cx.size(0)?;
            Ok(())
        }),
        Row::new("http2_pool_size", SERVERS, one, "Checked only: there are no pools.", |cx| match cx.size(0)? {
            value if value < POOL.0 => Err(cx.error(format!("the pool size must be no less than {}", POOL.0))),
            value if value % POOL.1 != 0 => Err(cx.error(format!("the pool size must be a multiple of {}", POOL.1))),
            _ => Ok(()),
        }),
        Row::new("http2_streams_index_size", SERVERS, one, "Checked only: streams are hashed.", |cx| {
            if cx.number(0)?.is_power_of_two() {
                Ok(())
            } else {
                Err(cx.error("\"http2_streams_index_size\" directive must be a power of two"))
            }
        }),
    ];
    rows.extend(OBSOLETE.iter().map(|&(name, doc, instead)| {
        Row::new(name, if name.starts_with("http2_push") { Context::HTTP_ALL } else { SERVERS }, one, doc, move |cx| {
            cx.warn(match instead {
                Some(instead) => format!("the \"{name}\" directive is obsolete, use the \"{instead}\" directive instead"),
                None => format!("the \"{name}\" directive is obsolete, ignored"),
            });
            Ok(())
        })
    }));
    rows
}

fn switch(cx: &mut Cx<'_>) -> Result<(), Error> {
    let (on, bit) = (cx.flag(0)?, cx.global::<Protocols>().bit("h2"));
    let mut own = cx.server::<ServerProtocols>();
    if own.named & bit != 0 {
        return Err(cx.duplicate());
    }
    own.named |= bit;
    own.on |= if on { bit } else { 0 };
    Ok(())
}

fn levels(levels: &mut Levels) {
    levels.server::<Http2>().location::<Http2Output>();
}

fn variables(variables: &mut Variables) {
    http::variables::define(variables, "http2", 0, |request, out| {
        if request.version() == Version::Http2 {
            out.extend_from_slice(if request.connection.is_tls() { b"h2" } else { b"h2c" });
        }
        true
    });
}
