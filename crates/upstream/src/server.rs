//! `server` in `upstream`.

use crate::balancer::CustomBalancer;
use crate::builder::{MethodLimits, builder};
use crate::protocol::Protocol;
use crate::url::{self, Host, Url};
use balance::{Server, ServerState, Template};
use conf::row::Cx;
use conf::tree::Error;
use net::address::SocketAddress;

/// The longest `route`, as nginx.
const LONGEST_ROUTE: usize = balance::sessions::LONGEST_ID;

/// How a server's addresses are found.
#[derive(Default)]
struct Names {
    resolve: bool,
    service: Option<String>,
}

/// Whether the file of `state` is being read, whose servers are in place of the block's.
#[derive(Default)]
pub(crate) struct ReadingState(pub(crate) bool);

impl ReadingState {
    fn is_on(cx: &Cx<'_>) -> bool {
        cx.global::<ReadingState>().0
    }
}

/// Reads the directive.
pub(crate) fn server<P: Protocol>(cx: &mut Cx<'_>) -> Result<(), Error> {
    if builder::<P>(cx).state.is_some() && !ReadingState::is_on(cx) {
        return Err(cx.error("\"server\" is not allowed in an upstream with \"state\""));
    }
    let source = cx.text(0);
    let mut shape = Server { source: (*source).into(), ..Server::new(SocketAddress::Unix(Default::default())) };
    let mut names = Names::default();
    let chosen_outside = cx.frame.server.get::<CustomBalancer<P::Session>>().balancer.is_some();
    let allowed = builder::<P>(cx)
        .allowed
        .filter(|_| !chosen_outside)
        .unwrap_or(MethodLimits { backup: !chosen_outside, slow_start: !chosen_outside });
    for i in 1..cx.args().len() {
        parameter::<P>(cx, i, allowed, &mut shape, &mut names)?;
    }
    if names.service.is_some() && !names.resolve {
        return Err(cx.error(format!("service upstream \"{source}\" requires \"resolve\" parameter")));
    }
    if names.resolve && named::<P>(cx, shape.clone(), &names)? {
        return Ok(());
    }
    let url = read::<P>(cx)?;
    let not_found = || cx.error_at(0, format!("host not found in upstream \"{source}\""));
    let addresses = url::look_up(&url, P::PORT.unwrap_or(0)).ok_or_else(not_found)?;
    if names.service.is_none() {
        require_port::<P>(cx, &url)?;
    }
    if names.service.is_some() {
        return Err(cx.error(format!("service upstream \"{source}\" requires domain name")));
    }
    builder::<P>(cx).add(&shape, addresses);
    Ok(())
}

/// The address as it is written.
fn read<P: Protocol>(cx: &Cx<'_>) -> Result<Url, Error> {
    let source = cx.text(0);
    url::parse_address(cx.arg(0), P::PORT.unwrap_or(0)).map_err(|what| cx.error_at(0, format!("{what} in upstream \"{source}\"")))
}

fn require_port<P: Protocol>(cx: &Cx<'_>, url: &Url) -> Result<(), Error> {
    if url.port.or(P::PORT).is_some() || matches!(url.host, Host::Unix(_)) {
        return Ok(());
    }
    Err(cx.error_at(0, format!("no port in upstream \"{}\"", cx.text(0))))
}

/// Adds a server whose addresses are looked up while requests run; false: it is an address.
fn named<P: Protocol>(cx: &Cx<'_>, server: Server, names: &Names) -> Result<bool, Error> {
    let source = cx.text(0);
    let url = read::<P>(cx)?;
    if names.service.is_none() {
        require_port::<P>(cx, &url)?;
    }
    if names.service.is_some() && url.port.is_some() {
        return Err(cx.error(format!("service upstream \"{source}\" may not have port")));
    }
    let Host::Name(host) = &url.host else { return Ok(false) };
    let host = String::from_utf8_lossy(host).to_lowercase();
    let template = Template {
        id: 0,
        server,
        host: host.trim_end_matches('.').into(),
        service: names.service.as_deref().map(Into::into),
        port: url.port.or(P::PORT).unwrap_or(0),
    };
    builder::<P>(cx).templates.push(template);
    Ok(true)
}

// tidy: table
fn parameter<P: Protocol>(cx: &Cx<'_>, i: usize, allowed: MethodLimits, server: &mut Server, names: &mut Names) -> Result<(), Error> {
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
        (b"slow_start", Some(value)) if P::HAS_BOUND_CLIENTS => {
            unsupported(allowed.slow_start)?;
            server.slow_start = base::text::parse_time_ms(value).ok_or_else(invalid)?;
        }
        (b"backup", None) => {
            unsupported(allowed.backup)?;
            server.backup = true;
        }
        (b"down", None) => server.state = ServerState::Down,
        (b"drain", None) if P::HAS_BOUND_CLIENTS => server.state = ServerState::Draining,
        (b"route", Some(value)) if P::HAS_BOUND_CLIENTS => {
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
