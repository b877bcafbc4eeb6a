//! The directives of QUIC as a transport (nginx manual, `ngx_http_v3_module`). The transport itself is the front's.

use crate::ssl;
use conf::context::{Arity, Context};
use conf::row::{Cx, Row};
use conf::scope::Frame;
use conf::tree::Error;
use http::quic::Quic;
use http::root::MainContext;
use http::{Levels, Module, Server};
use std::path::Path;
use std::rc::Rc;
use tls::quic::HostKey;

/// QUIC.
pub const MODULE: Module = Module { rows, levels, server, ..Module::named("quic") };

const SERVERS: Context = Context::HTTP.union(Context::SERVER);

// tidy: table
fn rows() -> Vec<Row> {
    let one = Arity::exactly(1);
    vec![
        Row::new("quic_retry", SERVERS, one, "Clients over QUIC prove their addresses first.", |cx| {
            let value = cx.flag(0)?;
            cx.once(&mut cx.server::<Quic>().retry, value)
        }),
        Row::new("quic_gso", SERVERS, one, "The kernel cuts what is sent over QUIC into datagrams.", |cx| {
            let value = cx.flag(0)?;
            cx.once(&mut cx.server::<Quic>().gso, value)
        }),
        Row::new("quic_active_connection_id_limit", SERVERS, one, "How many connection IDs of a client are kept.", |cx| {
            let value = cx.number(0)?;
            cx.once(&mut cx.server::<Quic>().id_limit, value)
        }),
        Row::new("quic_host_key", SERVERS, one, "A file with the secret of tokens and connection IDs.", host_key),
    ]
}

fn levels(levels: &mut Levels) {
    levels.server::<Quic>();
}

fn host_key(cx: &mut Cx<'_>) -> Result<(), Error> {
    if cx.server::<Quic>().host_key.is_some() {
        return Err(cx.duplicate());
    }
    let path = cx.global::<MainContext>().paths.resolve_conf(cx.arg(0));
    let bytes = std::fs::read(&path).map_err(|error| failed(cx, &path, &error))?;
    if bytes.is_empty() {
        return Err(cx.error_at(0, format!("\"{}\" zero key size", path.display())));
    }
    cx.server::<Quic>().host_key = Some(Rc::from(bytes));
    Ok(())
}

fn failed(cx: &Cx<'_>, path: &Path, error: &std::io::Error) -> Error {
    cx.error_at(0, format!("open() \"{}\" failed {}", path.display(), base::errno::describe(error)))
}

/// Makes the secrets of a server that may have clients over QUIC. Where no file gives the key, all workers share the master's, before
/// and behind a reload.
fn server(server: &Server, _: usize, frame: &Frame) -> Result<(), Error> {
    if let Some(quic) = server.conf.share::<Quic>()
        && server.tls.handshakes.get().is_some()
    {
        quic.key.get_or_init(|| match &quic.host_key {
            Some(bytes) => HostKey::new(bytes),
            None => HostKey::new(&ssl::secret(&frame.global)),
        });
    }
    Ok(())
}
