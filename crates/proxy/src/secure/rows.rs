//! The directives `*_ssl_*`, written once for all protocols that have them.

use crate::family::Member;
use crate::secure::said::Said;
use conf::context::{Arity, Context};
use conf::row::{self, Cx, Row};
use conf::tree::Error;
use http::root::MainContext;
use http::tls::directives;
use http::{Complex, Variables};
use std::cell::{RefCell, RefMut};
use std::rc::Rc;
use tls::certificate::cache::Cache;

const ALL: Context = Context::HTTP_ALL;

/// All of them for one protocol.
#[must_use]
// tidy: table
pub fn rows<T: Member>() -> Vec<Row> {
    let n = |suffix: &str| format!("{}_ssl_{suffix}", T::PREFIX);
    vec![
        row::flag::<T>(n("session_reuse"), ALL, "Resumes TLS sessions with upstreams.", |t| &mut said(t).session_reuse),
        row::flag::<T>(n("server_name"), ALL, "Tells upstreams which server is meant (SNI).", |t| &mut said(t).server_name),
        row::flag::<T>(n("verify"), ALL, "Verifies the certificates of upstreams.", |t| &mut said(t).verify),
        row::number::<T>(n("verify_depth"), ALL, "How long a chain of certificates may be.", |t| &mut said(t).verify_depth),
        Row::new(n("protocols"), ALL, Arity::AtLeast(1), "Versions of TLS that upstreams are offered.", |cx| {
            directives::protocols(cx, Rc::make_mut(own::<T>(cx).protocols.get_or_insert_default()))
        }),
        Row::new(n("ciphers"), ALL, Arity::exactly(1), "Ciphers that upstreams are offered.", |cx| {
            let value = cx.text(0).as_ref().into();
            cx.once(&mut own::<T>(cx).ciphers, value)
        }),
        Row::new(n("name"), ALL, Arity::exactly(1), "The server that is meant, and that its certificate has to be for.", |cx| {
            let value = compile(cx)?;
            cx.once(&mut own::<T>(cx).name, value)
        }),
        Row::new(n("trusted_certificate"), ALL, Arity::exactly(1), "Authorities that are trusted.", |cx| {
            let value = file(cx, &cx.text(0)).into();
            cx.once(&mut own::<T>(cx).trusted_certificate, value)
        }),
        Row::new(n("crl"), ALL, Arity::exactly(1), "Lists of revoked certificates.", |cx| {
            let value = file(cx, &cx.text(0)).into();
            cx.once(&mut own::<T>(cx).crl, value)
        }),
        Row::new(n("certificate"), ALL, Arity::exactly(1), "Certificate that upstreams are shown.", |cx| {
            let value = compile(cx)?;
            cx.once(&mut own::<T>(cx).certificate, value)
        }),
        Row::new(n("certificate_key"), ALL, Arity::exactly(1), "Key of that certificate.", |cx| {
            let value = compile(cx)?;
            cx.once(&mut own::<T>(cx).certificate_key, value)
        }),
        Row::new(n("certificate_cache"), ALL, Arity::Between(1, 3), "Keeps certificates named by variables.", |cx| {
            let value = directives::certificate_cache(cx)?.map(|limits| Rc::new(RefCell::new(Cache::new(limits))));
            cx.once(&mut own::<T>(cx).certificate_cache, value)
        }),
        Row::new(n("password_file"), ALL, Arity::exactly(1), "Passwords of keys, one a line.", |cx| {
            let value = Rc::new(directives::passwords(cx)?);
            cx.once(&mut own::<T>(cx).passwords, value)
        }),
        Row::new(n("conf_command"), ALL, Arity::exactly(2), "A command of OpenSSL's configuration.", conf_command::<T>),
        Row::new(n("key_log"), ALL, Arity::exactly(1), "File for the secrets of sessions.", |cx| {
            let path = cx.global::<MainContext>().paths.resolve(cx.arg(0));
            cx.once(&mut own::<T>(cx).key_log, Rc::new(path))
        }),
    ]
}

fn said<T: Member>(values: &mut T) -> &mut Said {
    &mut values.family().secure
}

fn own<'a, T: Member>(cx: &Cx<'a>) -> RefMut<'a, Said> {
    RefMut::map(cx.location::<T>(), said)
}

fn compile(cx: &Cx<'_>) -> Result<Complex, Error> {
    Complex::compile(cx.arg(0), &mut cx.global::<Variables>()).map_err(|text| cx.error_at(0, text))
}

/// A name as one of a file below the configuration's directory, unless it is no file.
fn file(cx: &Cx<'_>, name: &str) -> String {
    crate::secure::plan::file(&cx.global::<MainContext>().paths, name)
}

fn conf_command<T: Member>(cx: &mut Cx<'_>) -> Result<(), Error> {
    let (command, value) = (cx.text(0).into_owned(), cx.text(1));
    let is_peer = command.eq_ignore_ascii_case("VerifyMode") && value.eq_ignore_ascii_case("Peer");
    let value = if tls::commands::is_file(&command) { file(cx, &value) } else { value.into_owned() };
    let mut own = own::<T>(cx);
    own.demands_peer |= is_peer;
    let commands = Rc::make_mut(own.commands.get_or_insert_default());
    if !is_peer {
        commands.push((command, value));
    }
    Ok(())
}
