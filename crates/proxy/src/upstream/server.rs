//! `server` in `upstream`.

use crate::upstream::draft::{Allowed, draft};
use crate::url::{self, Host};
use balance::{Server, Standing, Template};
use conf::row::Cx;
use conf::tree::Error;
use http::balancer::Custom;
use net::address::SocketAddress;

/// The longest `route`, as nginx.
const LONGEST_ROUTE: usize = balance::sessions::LONGEST_ID;
const DEFAULT_PORT: u16 = 80;

/// How a server's addresses are found.
#[derive(Default)]
struct Names {
    resolve: bool,
    service: Option<String>,
}

/// Reads the directive.
pub(crate) fn server(cx: &mut Cx<'_>) -> Result<(), Error> {
    let source = cx.text(0);
    let mut shape = Server { source: (*source).into(), ..Server::new(SocketAddress::Unix(Default::default())) };
    let mut names = Names::default();
    let chosen_outside = cx.frame.server.get::<Custom>().balancer.is_some();
    let allowed = draft(cx).allowed.filter(|_| !chosen_outside).unwrap_or(Allowed { backup: !chosen_outside, slow_start: !chosen_outside });
    for i in 1..cx.args().len() {
        parameter(cx, i, allowed, &mut shape, &mut names)?;
    }
    if names.service.is_some() && !names.resolve {
        return Err(cx.error(format!("service upstream \"{source}\" requires \"resolve\" parameter")));
    }
    if names.resolve && named(cx, shape.clone(), &names)? {
        return Ok(());
    }
    let addresses = url::resolve(cx.arg(0), DEFAULT_PORT).map_err(|text| cx.error_at(0, text))?;
    if names.service.is_some() {
        return Err(cx.error(format!("service upstream \"{source}\" requires domain name")));
    }
    draft(cx).add(&shape, addresses);
    Ok(())
}

/// Adds a server whose addresses are looked up while requests run; false: it is an address.
fn named(cx: &Cx<'_>, server: Server, names: &Names) -> Result<bool, Error> {
    let source = cx.text(0);
    let url = url::parse(cx.arg(0), DEFAULT_PORT).map_err(|what| cx.error_at(0, format!("{what} in upstream \"{source}\"")))?;
    if !url.uri.is_empty() && !matches!(url.host, Host::Unix(_)) {
        return Err(cx.error_at(0, format!("invalid host in upstream \"{source}\"")));
    }
    if names.service.is_some() && url.port.is_some() {
        return Err(cx.error(format!("service upstream \"{source}\" may not have port")));
    }
    let Host::Name(host) = &url.host else { return Ok(false) };
    let host = String::from_utf8_lossy(host).to_lowercase();
    let template = Template {
        server,
        host: host.trim_end_matches('.').into(),
        service: names.service.as_deref().map(Into::into),
        port: url.port.unwrap_or(DEFAULT_PORT),
    };
    draft(cx).templates.push(template);
    Ok(true)
}

// tidy: table
fn parameter(cx: &Cx<'_>, i: usize, allowed: Allowed, server: &mut Server, names: &mut Names) -> Result<(), Error> {
    let word = cx.arg(i);
    let (name, value) = match memchr::memchr(b'=', word) {
        Some(at) => (word.get(..at).unwrap_or_default(), Some(word.get(at + 1..).unwrap_or_default())),
        None => (word, None),
    };
    let invalid = || cx.invalid_parameter(i);
    let number = |value: &[u8]| base::text::parse_number(value).ok_or_else(invalid);
    let unsupported = |supported: bool| match supported {
        true => Ok(()),
        false => Err(cx.error(format!("balancing method does not support parameter \"{}\"", cx.text(i)))),
    };
    match (name, value) {
        (b"weight", Some(value)) => {
            server.weight = i64::try_from(number(value)?).ok().filter(|w| (1..=1_000_000).contains(w)).ok_or_else(invalid)?;
        }
        (b"max_fails", Some(value)) => server.max_fails = number(value)?,
        (b"max_conns", Some(value)) => server.max_conns = number(value)?,
        (b"fail_timeout", Some(value)) => {
            let seconds = base::text::parse_time_sec(value).ok_or_else(invalid)?;
            server.fail_timeout = i64::try_from(seconds).map_err(|_| invalid())?;
        }
        (b"slow_start", Some(value)) => {
            unsupported(allowed.slow_start)?;
            server.slow_start = base::text::parse_time_ms(value).ok_or_else(invalid)?;
        }
        (b"backup", None) => {
            unsupported(allowed.backup)?;
            server.backup = true;
        }
        (b"down", None) => server.standing = Standing::Down,
        (b"drain", None) => server.standing = Standing::Draining,
        (b"route", Some(value)) => {
            if value.is_empty() {
                return Err(cx.error("route is empty"));
            }
            if value.len() > LONGEST_ROUTE {
                return Err(cx.error(format!("route is longer than {LONGEST_ROUTE}")));
            }
            server.route = Some(String::from_utf8_lossy(value).into());
        }
        (b"resolve", None) => names.resolve = true,
        (b"service", Some(value)) => {
            if value.is_empty() {
                return Err(cx.error("service is empty"));
            }
            names.service = Some(String::from_utf8_lossy(value).into_owned());
        }
        _ => return Err(invalid()),
    }
    Ok(())
}
