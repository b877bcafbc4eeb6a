//! `proxy_ssl_certificate_by_lua*`, `proxy_ssl_verify_by_lua*`: Lua in the handshakes with upstream servers.

use crate::code::Code;
use crate::directive::two_rows;
use crate::protocol::Protocol;
use crate::ssl::upstream_handshake::{UpstreamCertificateChooser, UpstreamVerifier};
use conf::context::{Arity, Context};
use conf::row::{Cx, Row};
use conf::tree::{Error, Span};
use session::{Join, Levels, Session};
use std::rc::Rc;
use upstream::secure::hooks::UpstreamTls;

/// What puts the code of a directive into the block's own settings.
fn store<S: Session>(
    put: fn(&mut Cx<'_>, &mut UpstreamTls<S>, Rc<Code<S>>) -> Result<(), Error>,
) -> impl Fn(&mut Cx<'_>, Rc<Code<S>>) -> Result<(), Error> + Clone {
    move |cx, code| {
        let mut own = cx.location::<UpstreamTls<S>>();
        own.is_own = true;
        put(cx, &mut own, code)
    }
}

/// The rows, in these blocks.
#[must_use]
pub fn rows<P: Protocol>(at: Context) -> Vec<Row> {
    let mut rows = two_rows(
        "proxy_ssl_certificate_by_lua",
        at,
        "Runs Lua that chooses the certificate upstreams are shown.",
        store::<P::Session>(|cx, own, code| cx.once(&mut own.certificate, Rc::new(UpstreamCertificateChooser::<P>::new(code)) as _)),
    );
    rows.extend(two_rows(
        "proxy_ssl_verify_by_lua",
        at,
        "Runs Lua that judges upstreams by their certificates.",
        store::<P::Session>(|cx, own, code| cx.once(&mut own.verify, Rc::new(UpstreamVerifier::<P>::new(code)) as _)),
    ));
    rows.push(Row::new(
        "lua_upstream_skip_openssl_default_verify",
        at,
        Arity::Flag,
        "Leaves the verification of upstreams to Lua alone.",
        |cx| {
            let value = cx.flag(0)?;
            cx.once(&mut cx.location::<UpstreamTls<P::Session>>().skip_default_verify, value)
        },
    ));
    rows
}

/// The configuration types.
pub fn levels<S: Session>(levels: &mut Levels) {
    levels.location::<UpstreamTls<S>>();
}

/// Checks that somebody runs the code of a place; to be called behind those who pass sessions on. `demand` says what it takes.
///
/// # Errors
/// Nobody does.
pub fn check<S: Session>(at: &impl Join<S>, demand: &str) -> Result<(), Error> {
    let code = at.conf::<UpstreamTls<S>>();
    if !code.is_own || code.is_used.get() {
        return Ok(());
    }
    let name = if code.certificate.is_some() { "proxy_ssl_certificate_by_lua*" } else { "proxy_ssl_verify_by_lua*" };
    Err(Error::new(format!("{name} should be used with {demand}"), Span::NONE))
}
