//! The directives `*_ssl_*`, written once for all protocols that have them.

use crate::secure::conf::TlsConf;
use conf::context::Arity;
use conf::row::{Cx, Row};
use conf::scope::Config;
use conf::tree::Error;
use session::paths::MainContext;
use session::{Complex, Configured, Variables, tls_directives};
use std::cell::{RefCell, RefMut};
use std::rc::Rc;
use tls::certificate::cache::Cache;

/// Where a protocol keeps what a block says.
type Own<T, S> = fn(&mut T) -> &mut TlsConf<S>;

/// All of them for one protocol, whose directives begin with `prefix` and whose values of type `T` hold what they say.
#[must_use]
// tidy: table
pub fn rows<T: Config, S: Configured>(prefix: &str, tls: Own<T, S>) -> Vec<Row> {
    let row = |suffix: &str, arity: Arity, doc: &'static str, set: fn(&mut Cx<'_>, &mut TlsConf<S>) -> Result<(), Error>| {
        Row::new(format!("{prefix}_ssl_{suffix}"), S::BLOCKS, arity, doc, move |cx| set(cx, &mut own_conf(cx, tls)))
    };
    vec![
        row("session_reuse", Arity::Flag, "Resumes TLS sessions with upstreams.", |cx, tls| {
            let value = cx.flag(0)?;
            cx.once(&mut tls.session_reuse, value)
        }),
        row("server_name", Arity::Flag, "Tells upstreams which server is meant (SNI).", |cx, tls| {
            let value = cx.flag(0)?;
            cx.once(&mut tls.server_name, value)
        }),
        row("verify", Arity::Flag, "Verifies the certificates of upstreams.", |cx, tls| {
            let value = cx.flag(0)?;
            cx.once(&mut tls.verify, value)
        }),
        row("verify_depth", Arity::exactly(1), "How long a chain of certificates may be.", |cx, tls| {
            let value = cx.number(0)?;
            cx.once(&mut tls.verify_depth, value)
        }),
        row("protocols", Arity::AtLeast(1), "Versions of TLS that upstreams are offered.", |cx, tls| {
            tls_directives::protocols(cx, Rc::make_mut(tls.protocols.get_or_insert_default()))
        }),
        row("ciphers", Arity::exactly(1), "Ciphers that upstreams are offered.", |cx, tls| {
            let value = cx.text(0).as_ref().into();
            cx.once(&mut tls.ciphers, value)
        }),
        row("name", Arity::exactly(1), "The server that is meant, and that its certificate has to be for.", |cx, tls| {
            let value = compile(cx, 0)?;
            cx.once(&mut tls.name, value)
        }),
        row("trusted_certificate", Arity::exactly(1), "Authorities that are trusted.", |cx, tls| {
            let value = file(cx, &cx.text(0)).into();
            cx.once(&mut tls.trusted_certificate, value)
        }),
        row("crl", Arity::exactly(1), "Lists of revoked certificates.", |cx, tls| {
            let value = file(cx, &cx.text(0)).into();
            cx.once(&mut tls.crl, value)
        }),
        row("certificate", Arity::exactly(1), "Certificate that upstreams are shown.", |cx, tls| {
            let value = compile(cx, 0)?;
            cx.once(&mut tls.certificate, value)
        }),
        row("certificate_key", Arity::exactly(1), "Key of that certificate.", |cx, tls| {
            let value = compile(cx, 0)?;
            cx.once(&mut tls.certificate_key, value)
        }),
        row("certificate_cache", Arity::Between(1, 3), "Keeps certificates named by variables.", |cx, tls| {
            let value = tls_directives::certificate_cache(cx)?.map(|limits| Rc::new(RefCell::new(Cache::new(limits))));
            cx.once(&mut tls.certificate_cache, value.into())
        }),
        row("password_file", Arity::exactly(1), "Passwords of keys, one a line.", |cx, tls| {
            let value = Rc::new(tls_directives::passwords(cx)?);
            cx.once(&mut tls.passwords, value)
        }),
        row("conf_command", Arity::exactly(2), "A command of OpenSSL's configuration.", conf_command),
        row("key_log", Arity::exactly(1), "File for the secrets of sessions.", |cx, tls| {
            let path = cx.global::<MainContext>().paths.resolve(cx.arg(0));
            cx.once(&mut tls.key_log, Rc::new(path))
        }),
    ]
}

/// `*_ssl_alpn`, for protocols that do not say themselves what is spoken.
#[must_use]
pub fn alpn_row<T: Config, S: Configured>(prefix: &str, tls: Own<T, S>) -> Row {
    Row::new(format!("{prefix}_ssl_alpn"), S::BLOCKS, Arity::AtLeast(1), "Protocols that upstreams are offered by ALPN.", move |cx| {
        let mut names = Vec::new();
        for i in 0..cx.args().len() {
            let name: Complex<S> = compile(cx, i)?;
            if name.literal().is_some_and(|name| name.len() > 255) {
                return Err(cx.error(format!("\"{}\" directive protocol too long", cx.name())));
            }
            names.push(name);
        }
        cx.once(&mut own_conf(cx, tls).alpn, Rc::new(names))
    })
}

fn own_conf<'a, T: Config, S>(cx: &Cx<'a>, tls: Own<T, S>) -> RefMut<'a, TlsConf<S>> {
    RefMut::map(cx.location::<T>(), tls)
}

fn compile<S: Configured>(cx: &Cx<'_>, i: usize) -> Result<Complex<S>, Error> {
    Complex::compile(cx.arg(i), &mut cx.global::<Variables<S>>()).map_err(|text| cx.error_at(i, text))
}

/// A name as one of a file below the configuration's directory, unless it is no file.
fn file(cx: &Cx<'_>, name: &str) -> String {
    crate::secure::plan::file(&cx.global::<MainContext>().paths, name)
}

fn conf_command<S>(cx: &mut Cx<'_>, tls: &mut TlsConf<S>) -> Result<(), Error> {
    let (command, value) = (cx.text(0).into_owned(), cx.text(1));
    let is_peer = command.eq_ignore_ascii_case("VerifyMode") && value.eq_ignore_ascii_case("Peer");
    let value = if tls::commands::is_file(&command) { file(cx, &value) } else { value.into_owned() };
    tls.demands_peer |= is_peer;
    let commands = Rc::make_mut(tls.commands.get_or_insert_default());
    if !is_peer {
        commands.push((command, value));
    }
    Ok(())
}
