//! `ssl_client_hello_by_lua*`, `ssl_session_fetch_by_lua*`, `ssl_certificate_by_lua*`, `ssl_session_store_by_lua*`: Lua in
//! the handshakes of servers.

use crate::code::Code;
use crate::directive::two_rows;
use crate::protocol::Protocol;
use crate::ssl::hooks::{CodeHooks, Conf};
use conf::configs::ConfMap;
use conf::context::Context;
use conf::row::{Cx, Row};
use conf::tree::{Error, Span};
use session::tls::{Secured, ServerTls};
use session::{Configured, Levels};
use std::rc::Rc;

/// What puts the code of a directive into its field.
fn store<S: Configured>(
    field: fn(&mut Conf<S>) -> &mut Option<Rc<Code<S>>>,
) -> impl Fn(&mut Cx<'_>, Rc<Code<S>>) -> Result<(), Error> + Clone {
    move |cx, code| cx.once(field(&mut cx.server::<Conf<S>>()), code)
}

/// The rows of the moments that every protocol's servers have, in these blocks.
#[must_use]
pub fn rows<S: Configured>(at: Context) -> Vec<Row> {
    let mut rows =
        two_rows("ssl_client_hello_by_lua", at, "Runs Lua when a client's first message of TLS has come.", store::<S>(|c| &mut c.hello));
    rows.extend(two_rows("ssl_certificate_by_lua", at, "Runs Lua that chooses certificates.", store::<S>(|c| &mut c.certificate)));
    rows
}

/// The rows of code that keeps sessions, which are those of all servers.
#[must_use]
pub fn session_rows<S: Configured>() -> Vec<Row> {
    let mut rows = two_rows("ssl_session_fetch_by_lua", S::OUTERMOST, "Runs Lua that finds a TLS session.", store::<S>(|c| &mut c.fetch));
    rows.extend(two_rows("ssl_session_store_by_lua", S::OUTERMOST, "Runs Lua that keeps a TLS session.", store::<S>(|c| &mut c.store)));
    rows
}

/// The configuration types.
pub fn levels<S: Secured>(levels: &mut Levels) {
    levels.server::<Conf<S>>();
}

/// Gives a server the code of its handshakes. `demands`: code takes TLS; otherwise it is for later, or for nothing.
///
/// # Errors
/// There is code and no TLS.
pub fn join<P: Protocol>(values: &ConfMap, tls: &ServerTls<P::Session>, demands: bool) -> Result<(), Error> {
    let Some(conf) = values.share::<Conf<P::Session>>() else { return Ok(()) };
    let Conf { hello, certificate, fetch, store } = &*conf;
    if [hello, certificate, fetch, store].iter().all(|code| code.is_none()) {
        return Ok(());
    }
    if tls.handshakes.get().is_none() {
        // Sessions are everybody's: the outermost block alone may say what to do with them.
        let wanted = demands && (hello.is_some() || certificate.is_some());
        return if wanted { Err(Error::new("no ssl configured for the server".to_owned(), Span::NONE)) } else { Ok(()) };
    }
    // Built once for each server.
    let _ = tls.hooks.set(Rc::new(CodeHooks::<P>::new(&conf)));
    Ok(())
}
