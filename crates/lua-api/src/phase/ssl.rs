//! `ssl_client_hello_by_lua*`, `ssl_session_fetch_by_lua*`, `ssl_certificate_by_lua*`, `ssl_session_store_by_lua*`: Lua in
//! the handshakes of servers.

use crate::code::Code;
use crate::directive;
use crate::ssl::hooks::{CodeHooks, Conf};
use conf::context::Context;
use conf::row::{Cx, Row};
use conf::scope::Frame;
use conf::tree::{Error, Span};
use http::location::Server;
use http::{Levels, Module};
use std::rc::Rc;

/// Lua in the handshakes of servers.
pub const MODULE: Module = Module { rows, levels, server, ..Module::named("lua_handshakes") };

/// `TAG_block` and `TAG_file`: these have no spelling in quotes.
fn two(
    tag: &'static str,
    contexts: Context,
    doc: &'static str,
    field: fn(&mut Conf) -> &mut Option<Rc<Code>>,
) -> impl Iterator<Item = Row> {
    let store = move |cx: &mut Cx<'_>, code| cx.once(field(&mut cx.server::<Conf>()), code);
    directive::rows(tag, contexts, doc, store).into_iter().filter(move |row| row.name != tag)
}

fn rows() -> Vec<Row> {
    let servers = Context::HTTP.union(Context::SERVER);
    let hello = two("ssl_client_hello_by_lua", servers, "Runs Lua when a client's first message of TLS has come.", |c| &mut c.hello);
    let certificate = two("ssl_certificate_by_lua", servers, "Runs Lua that chooses certificates.", |c| &mut c.certificate);
    let fetch = two("ssl_session_fetch_by_lua", Context::HTTP, "Runs Lua that finds a TLS session.", |c| &mut c.fetch);
    let store = two("ssl_session_store_by_lua", Context::HTTP, "Runs Lua that keeps a TLS session.", |c| &mut c.store);
    hello.chain(certificate).chain(fetch).chain(store).collect()
}

fn levels(levels: &mut Levels) {
    levels.server::<Conf>();
}

fn server(server: &Server, _: usize, _: &Frame) -> Result<(), Error> {
    let Some(conf) = server.conf.share::<Conf>() else { return Ok(()) };
    let Conf { hello, certificate, fetch, store } = &*conf;
    if [hello, certificate, fetch, store].iter().all(|code| code.is_none()) {
        return Ok(());
    }
    if server.tls.handshakes.get().is_none() {
        // Sessions are everybody's: `http` alone may say what to do with them.
        let wanted = hello.is_some() || certificate.is_some();
        return if wanted { Err(Error::new("no ssl configured for the server".to_owned(), Span::NONE)) } else { Ok(()) };
    }
    // Built once for each server.
    let _ = server.tls.hooks.set(Rc::new(CodeHooks::new(&conf)));
    Ok(())
}
