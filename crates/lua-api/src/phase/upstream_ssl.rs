//! `proxy_ssl_certificate_by_lua*`, `proxy_ssl_verify_by_lua*`: Lua in the handshakes with upstream servers.

use crate::code::Code;
use crate::directive;
use crate::ssl::toward::{Chooser, Judge};
use conf::context::{Arity, Context};
use conf::row::{Cx, Row};
use conf::tree::{Error, Span};
use http::{Attach, Levels, Module, Request};
use std::rc::Rc;
use upstream::secure::hooks;

/// The code of a location.
type UpstreamTls = hooks::UpstreamTls<Request>;

/// Lua in the handshakes with upstream servers. Stands behind those that pass requests on.
pub const MODULE: Module = Module { rows, levels, attach, ..Module::named("lua_upstream_handshakes") };

/// `TAG_block` and `TAG_file`: these have no spelling in quotes.
fn two(
    tag: &'static str,
    doc: &'static str,
    store: fn(&mut Cx<'_>, &mut UpstreamTls, Rc<Code>) -> Result<(), Error>,
) -> impl Iterator<Item = Row> {
    let contexts = Context::LOCATION | Context::LOCATION_IF;
    let store = move |cx: &mut Cx<'_>, code| {
        let mut own = cx.location::<UpstreamTls>();
        own.is_own = true;
        store(cx, &mut own, code)
    };
    directive::rows(tag, contexts, doc, store).into_iter().filter(move |row| row.name != tag)
}

fn rows() -> Vec<Row> {
    let certificate = two("proxy_ssl_certificate_by_lua", "Runs Lua that chooses the certificate upstreams are shown.", |cx, own, code| {
        cx.once(&mut own.certificate, Rc::new(Chooser::new(code)) as _)
    });
    let verify = two("proxy_ssl_verify_by_lua", "Runs Lua that judges upstreams by their certificates.", |cx, own, code| {
        cx.once(&mut own.verify, Rc::new(Judge::new(code)) as _)
    });
    let skip = Row::new(
        "lua_upstream_skip_openssl_default_verify",
        Context::LOCATION | Context::LOCATION_IF,
        Arity::Flag,
        "Leaves the verification of upstreams to Lua alone.",
        |cx| {
            let value = cx.flag(0)?;
            cx.once(&mut cx.location::<UpstreamTls>().skip_default_verify, value)
        },
    );
    certificate.chain(verify).chain([skip]).collect()
}

fn levels(levels: &mut Levels) {
    levels.location::<UpstreamTls>();
}

fn attach(at: &mut Attach<'_>) -> Result<(), Error> {
    let code = at.conf::<UpstreamTls>();
    if !code.is_own || code.is_used.get() {
        return Ok(());
    }
    let name = if code.certificate.is_some() { "proxy_ssl_certificate_by_lua*" } else { "proxy_ssl_verify_by_lua*" };
    Err(Error::new(format!("{name} should be used with proxy_pass https url"), Span::NONE))
}
