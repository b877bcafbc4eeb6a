//! The directives of HTTP/3 and `$http3` (nginx manual, `ngx_http_v3_module`). The protocol itself is the front's; what concerns its transport
//! alone stands in [`crate::quic`].

use conf::context::{Arity, Context};
use conf::row::Row;
use http::http3::Http3;
use http::line::Version;
use http::quic::Quic;
use http::{Levels, Module, Request, Variables};

/// HTTP/3.
pub const MODULE: Module = Module { rows, levels, variables, ..Module::named("v3") };

const SERVERS: Context = Context::HTTP.union(Context::SERVER);

// tidy: table
fn rows() -> Vec<Row> {
    let one = Arity::exactly(1);
    vec![
        Row::new("http3", SERVERS, one, "Whether HTTP/3 is spoken.", |cx| {
            let value = cx.flag(0)?;
            cx.once(&mut cx.server::<Http3>().on, value)
        }),
        Row::new("http3_hq", SERVERS, one, "Whether HTTP/0.9 over QUIC is spoken.", |cx| {
            let value = cx.flag(0)?;
            cx.once(&mut cx.server::<Http3>().hq, value)
        }),
        Row::new("http3_max_concurrent_streams", SERVERS, one, "Most open requests of a connection.", |cx| {
            let value = cx.number(0)?;
            cx.once(&mut cx.server::<Quic>().max_streams, value)
        }),
        Row::new("http3_stream_buffer_size", SERVERS, one, "What a client may send on a stream before it is read.", |cx| {
            let value = cx.size(0)?;
            cx.once(&mut cx.server::<Quic>().stream_buffer, value)
        }),
    ]
}

fn levels(levels: &mut Levels) {
    levels.server::<Http3>().server::<Quic>();
}

fn variables(variables: &mut Variables) {
    http::variables::define(variables, "http3", 0, |request, out| {
        if request.version() == Version::Http3 {
            out.extend_from_slice(b"h3");
        } else if is_hq(request) {
            out.extend_from_slice(b"hq");
        }
        true
    });
}

/// Whether the request came over QUIC without HTTP/3.
fn is_hq(request: &Request) -> bool {
    request.version() == Version::Http09
        && request.connection.tls_info().and_then(|info| info.alpn.clone()).is_some_and(|name| &*name == b"hq-interop")
}
