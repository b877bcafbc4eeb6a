//! The directives `proxy_*` of `stream`.

use crate::check::Checked;
use crate::groups::{Plans, Upstreams};
use crate::pass::Pass;
use crate::settings::{Header, Proxy};
use crate::{handler, variables};
use conf::context::{Arity, Context};
use conf::row::{self, Cx, Row};
use conf::tree::Error;
use conf::tree::SettingError;
use std::rc::Rc;
use stream::{Attach, Complex, Core, Levels, Module, Session, Step, Variables};
use upstream::secure::hooks::UpstreamTls;
use upstream::secure::rows as secure_rows;

/// `proxy_pass` and its companions.
pub const MODULE: Module =
    Module { rows, levels: Levels::location_only::<Proxy>, variables: variables::define_all, attach, ..Module::named("proxy") };

/// `stream` and `server`.
const HERE: Context = Context::STREAM.union(Context::STREAM_SERVER);

// tidy: table
fn rows() -> Vec<Row> {
    let mut rows = vec![
        Row::new("proxy_pass", Context::STREAM_SERVER, Arity::exactly(1), "Where sessions are passed on to.", pass),
        Row::new("proxy_bind", HERE, Arity::Between(1, 2), "Local address of upstream connections.", |cx| {
            let value = upstream::bind::read(cx)?;
            cx.once(&mut cx.location::<Proxy>().bind, value.into())
        }),
        row::time_ms("proxy_connect_timeout", HERE, "How long connecting to an upstream may take.", |p: &mut Proxy| &mut p.connect_timeout),
        row::time_ms("proxy_timeout", HERE, "How long nothing may be sent or received.", |p: &mut Proxy| &mut p.timeout),
        row::flag("proxy_next_upstream", HERE, "Tries the next server when one cannot be reached.", |p: &mut Proxy| &mut p.next),
        row::number("proxy_next_upstream_tries", HERE, "How many servers are tried.", |p: &mut Proxy| &mut p.next_tries),
        row::time_ms("proxy_next_upstream_timeout", HERE, "How long servers are tried.", |p: &mut Proxy| &mut p.next_timeout),
        row::size("proxy_buffer_size", HERE, "Bytes that wait in each direction at most.", |p: &mut Proxy| &mut p.buffer_size),
        obsolete("proxy_downstream_buffer"),
        obsolete("proxy_upstream_buffer"),
        Row::new("proxy_upload_rate", HERE, Arity::exactly(1), "Bytes a second from the client.", |cx| rate(cx, |p| &mut p.upload_rate)),
        Row::new("proxy_download_rate", HERE, Arity::exactly(1), "Bytes a second from the upstream.", |cx| {
            rate(cx, |p| &mut p.download_rate)
        }),
        row::number("proxy_requests", HERE, "Datagrams of a client that make a session.", |p: &mut Proxy| &mut p.requests),
        row::number("proxy_responses", HERE, "Datagrams that respond to one of the client's.", |p: &mut Proxy| &mut p.responses),
        Row::new("proxy_protocol", HERE, Arity::exactly(1), "Tells upstreams about the client (PROXY protocol).", |cx| {
            let value = cx.choice(0, &[("off", None), ("on", Some(Header::Line)), ("v2", Some(Header::Binary))])?;
            cx.once(&mut cx.location::<Proxy>().header, value.into())
        }),
        row::flag("proxy_half_close", HERE, "Each direction may end on its own.", |p: &mut Proxy| &mut p.half_close),
        row::flag("proxy_socket_keepalive", HERE, "Sets SO_KEEPALIVE on upstream connections.", |p: &mut Proxy| &mut p.socket_keepalive),
        row::size("proxy_socket_rcvbuf", HERE, "Size of the receive buffer of upstream sockets.", |p: &mut Proxy| &mut p.socket_rcvbuf),
        row::size("proxy_socket_sndbuf", HERE, "Size of the send buffer of upstream sockets.", |p: &mut Proxy| &mut p.socket_sndbuf),
        row::flag("proxy_ssl", HERE, "Speaks TLS with upstreams.", |p: &mut Proxy| &mut p.ssl),
        secure_rows::alpn_row::<Proxy, Session>("proxy", |p| &mut p.secure),
    ];
    // Files for secrets are HTTP's alone, as in nginx.
    let secure = secure_rows::rows::<Proxy, Session>("proxy", |p| &mut p.secure);
    rows.extend(secure.into_iter().filter(|row| row.name != "proxy_ssl_key_log"));
    rows
}

/// An old name of `proxy_buffer_size`.
fn obsolete(name: &'static str) -> Row {
    Row::new(name, HERE, Arity::exactly(1), "An obsolete name of proxy_buffer_size.", move |cx| {
        let value = cx.size(0)?;
        cx.once(&mut cx.location::<Proxy>().buffer_size, value)?;
        cx.warn(format!("the \"{name}\" directive is deprecated, use the \"proxy_buffer_size\" directive instead"));
        Ok(())
    })
}

fn rate(cx: &Cx<'_>, field: fn(&mut Proxy) -> &mut Option<Complex>) -> Result<(), Error> {
    let value = Complex::compile(cx.arg(0), &mut cx.global::<Variables>()).map_err(|text| cx.error_at(0, text))?;
    if value.literal().is_some_and(|text| base::text::parse_size(text, false).is_none()) {
        return Err(cx.invalid_value(0));
    }
    cx.once(field(&mut cx.location::<Proxy>()), value)
}

fn pass(cx: &mut Cx<'_>) -> Result<(), Error> {
    let value = Rc::new(Pass::read(cx)?);
    cx.once(&mut cx.location::<Proxy>().pass, value)?;
    Core::choose_content(cx, MODULE.name);
    Ok(())
}

fn attach(at: &mut Attach<'_>) -> Result<(), Error> {
    let proxy = at.conf::<Proxy>();
    let Some(pass) = proxy.pass.clone() else { return Ok(()) };
    let error = |error: SettingError| Error::new(error, pass.span);
    let secure = match proxy.ssl.unwrap_or(false) {
        true => {
            at.main_conf::<Plans>().secured(None, &proxy.secure, "proxy", &[], at.conf::<UpstreamTls<Session>>(), at.log).map_err(error)?
        }
        false => None,
    };
    pass.resolve(&at.main_conf::<Upstreams>()).map_err(error)?;
    let plan = Rc::new(proxy.plan(pass, secure));
    // A server is attached once.
    let _ = at.conf::<Checked>().plan.set(plan.clone());
    at.content(move |session| {
        let (session, plan) = (session.clone(), plan.clone());
        Step::wait(|| async move { handler::run(&session, &plan).await })
    });
    Ok(())
}
