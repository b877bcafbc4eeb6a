//! The parameters of `listen` that are options of the socket.

use crate::listen::gather::ListenRequest;
use base::text;
use conf::row::Cx;
use conf::tree::Error;
use net::listener::KeepAlive;

/// Takes argument `i` if it is a parameter that `listen` has in all protocols. False: it is none.
///
/// # Errors
/// nginx's texts.
pub(crate) fn parameter(cx: &Cx<'_>, i: usize, wanted: &mut ListenRequest) -> Result<bool, Error> {
    let text = cx.text(i);
    let (name, value) = text.split_once('=').map_or((text.as_ref(), None), |(n, v)| (n, Some(v)));
    let bad = |what: &str| cx.error_at(i, format!("invalid {what} \"{}\"", value.unwrap_or_default()));
    let whole = |what: &str| cx.error_at(i, format!("invalid {what} \"{text}\""));
    let number = |v: &str| v.parse::<i32>().ok().filter(|n| *n > 0);
    match (name, value) {
        ("default_server", None) => {
            wanted.default_server = true;
            return Ok(true);
        }
        ("ssl", None) => {
            wanted.tls = true;
            return Ok(true);
        }
        ("proxy_protocol", None) => {
            wanted.proxy_protocol = true;
            return Ok(true);
        }
        ("bind", None) => {}
        ("reuseport", None) => wanted.spec.reuseport = true,
        ("multipath", None) => wanted.spec.multipath = true,
        ("deferred", None) => wanted.spec.deferred = true,
        ("backlog", Some(v)) => wanted.spec.backlog = number(v).ok_or_else(|| bad("backlog"))?,
        ("rcvbuf", Some(v)) => wanted.spec.rcvbuf = Some(size(v).ok_or_else(|| whole("rcvbuf"))?),
        ("sndbuf", Some(v)) => wanted.spec.sndbuf = Some(size(v).ok_or_else(|| whole("sndbuf"))?),
        ("fastopen", Some(v)) => wanted.spec.fastopen = Some(number(v).ok_or_else(|| bad("fastopen"))?),
        ("ipv6only", Some("on")) => wanted.spec.ipv6only = true,
        ("ipv6only", Some("off")) => wanted.spec.ipv6only = false,
        ("ipv6only", Some(_)) => return Err(bad("ipv6only flags")),
        ("so_keepalive", Some(v)) => wanted.spec.keepalive = Some(keepalive(v).ok_or_else(|| bad("so_keepalive value:"))?),
        ("accept_filter", Some(_)) => {
            cx.warn(format!("accept filters \"{text}\" are not supported on this platform, ignored"));
        }
        _ => return Ok(false),
    }
    wanted.with_options = true;
    Ok(true)
}

fn size(text: &str) -> Option<usize> {
    text::parse_size(text.as_bytes(), false).and_then(|n| usize::try_from(n).ok())
}

fn keepalive(text: &str) -> Option<KeepAlive> {
    let plain = |on| KeepAlive { on, idle: None, interval: None, count: None };
    match text {
        "on" => return Some(plain(true)),
        "off" => return Some(plain(false)),
        _ => {}
    }
    let mut parts = text.split(':');
    let seconds = |part: Option<&str>| -> Option<Option<u32>> {
        match part {
            None | Some("") => Some(None),
            Some(text) => text::parse_time_sec(text.as_bytes()).and_then(|n| u32::try_from(n).ok()).map(Some),
        }
    };
    let (idle, interval) = (seconds(parts.next())?, seconds(parts.next())?);
    let count = match parts.next() {
        None | Some("") => None,
        Some(text) => Some(text.parse().ok()?),
    };
    (parts.next().is_none() && (idle.is_some() || interval.is_some() || count.is_some())).then_some(KeepAlive {
        on: true,
        idle,
        interval,
        count,
    })
}
