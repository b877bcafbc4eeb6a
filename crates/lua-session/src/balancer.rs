//! `ngx.balancer`: what `balancer_by_lua*` says of the try whose server it chooses (`ngx_http_lua_balancer.c`,
//! `ngx/balancer.lua` of lua-resty-core).

use crate::host::Host;
use crate::protocol::Protocol;
use crate::state::Balancing;
use base::authority;
use base::saturated::Saturated;
use lua::{CallContext, Group, Row};
use lua_lib::ANYWHERE;
use net::address::SocketAddress;
use session::paths::os_path;
use std::net::SocketAddr;
use upstream::balancer::{NamedPool, Pooling, Target, Timeouts};

/// `nil` and the text in the output buffer.
const REFUSED: i32 = -1;
const DONE: i32 = 0;
/// Done, with a warning in the output buffer.
const REDUCED: i32 = 1;
/// Added to the status of a server that failed.
const BROKEN: i32 = 65_536;
/// An error with the text in the output buffer.
const RAISED: i32 = -2;

/// The part's rows and glue.
#[must_use]
pub fn group<P: Protocol>() -> Group {
    Group {
        name: "ngx.balancer",
        rows: vec![
            Row::fast::<ANYWHERE, _, _>("balancer_peer", set_current_peer::<P>),
            Row::fast::<ANYWHERE, _, _>("balancer_pool", choose_pool::<P>),
            Row::fast::<ANYWHERE, _, _>("balancer_more", set_more_tries::<P>),
            Row::fast::<ANYWHERE, _, _>("balancer_failure", get_last_failure::<P>),
            Row::fast::<ANYWHERE, _, _>("balancer_timeouts", set_timeouts::<P>),
            Row::fast::<ANYWHERE, _, _>("balancer_keepalive", enable_keepalive::<P>),
            Row::fast::<ANYWHERE, _, _>("balancer_rewrite", recreate_request::<P>),
            Row::fast::<ANYWHERE, _, _>("balancer_bind", bind_to_local_addr::<P>),
            Row::fast::<ANYWHERE, _, _>("balancer_tls", set_upstream_tls::<P>),
            Row::constant("DONE", DONE),
            Row::constant("REFUSED", REFUSED),
            Row::constant("RAISED", RAISED),
            Row::constant("REDUCED", REDUCED),
            Row::constant("BROKEN", BROKEN),
        ],
        glue: include_str!("balancer.lua"),
    }
}

fn refuse(cx: &CallContext, text: &'static str) -> i32 {
    cx.put_static(text.as_bytes());
    REFUSED
}

/// Runs `f` where a server is being chosen; elsewhere the error's text is in the output buffer.
fn balancing<P: Protocol>(cx: &CallContext, f: impl FnOnce(&Balancing) -> i32) -> i32 {
    cx.with_host::<Host<P>, _>(|host| {
        let Some(host) = host.filter(|_| cx.phase() != Some(lua::LuaPhase::INIT)) else {
            cx.put_static(b"no request found");
            return RAISED;
        };
        let current = host.shared_state().balancing.borrow().clone();
        match current.filter(|_| cx.phase() == Some(lua::LuaPhase::BALANCER)) {
            Some(balancing) => f(&balancing),
            None if !host.session.as_ref().is_some_and(|session| P::has_upstream(session)) => refuse(cx, "no upstream found"),
            None => refuse(cx, "API disabled in the current context"),
        }
    })
}

/// An address as `set_current_peer` takes it: `IP`, `IP:PORT`, `[IPv6]`, `[IPv6]:PORT` or `unix:PATH`; else nginx's words for
/// what is wrong.
fn parse_peer(text: &[u8], port: u16) -> Result<SocketAddress, &'static str> {
    if let Some((_, path)) = text.split_at_checked(5).filter(|(scheme, _)| scheme.eq_ignore_ascii_case(b"unix:")) {
        let path = path.split(|byte| *byte == b':').next().unwrap_or_default();
        if path.is_empty() {
            return Err("no path in the unix domain socket");
        }
        let address = SocketAddress::Unix(os_path(path));
        return if address.to_socket().is_ok() { Ok(address) } else { Err("too long path in the unix domain socket") };
    }
    let text = std::str::from_utf8(text).map_err(|_| "invalid host")?;
    if text.contains(['/', '?']) {
        return Err("invalid host");
    }
    let peer = authority::parse(text)?;
    match peer.host {
        authority::Host::Ip(ip) => Ok(SocketAddr::new(ip, peer.port.unwrap_or(port)).into()),
        // Names are for a resolver.
        authority::Host::Name(_) => Err("no host allowed"),
    }
}

/// The port is cut to 16 bits, as there.
#[expect(clippy::cast_possible_truncation, reason = "the cut is meant")]
fn port_of(number: f64) -> u16 {
    i64::saturated(number) as u16
}

fn set_current_peer<P: Protocol>(cx: &CallContext, address: &[u8], port: f64, host: &[u8]) -> i32 {
    balancing::<P>(cx, |balancing| match parse_peer(address, port_of(port)) {
        Ok(address) => {
            let host = (!host.is_empty()).then(|| host.to_ascii_lowercase().into());
            let old = balancing.balancer.change(|target| target.keepalive).flatten();
            balancing.balancer.set(Target { host, keepalive: old, ..Target::new(address) });
            DONE
        }
        Err(text) => refuse(cx, text),
    })
}

/// A `size` of 0 is none. A pool without a name is its server's.
fn choose_pool<P: Protocol>(cx: &CallContext, name: &[u8], size: f64) -> i32 {
    balancing::<P>(cx, |balancing| {
        let size = Some(usize::saturated(size)).filter(|size| *size > 0);
        let chosen = balancing.balancer.change(|target| {
            let name = if name.is_empty() { target.address.to_string().into_bytes().into() } else { name.into() };
            target.pool = Some(NamedPool { name, size });
        });
        if chosen.is_some() { DONE } else { refuse(cx, "no current peer set") }
    })
}

/// [`REDUCED`]: fewer than these.
fn set_more_tries<P: Protocol>(cx: &CallContext, count: f64) -> i32 {
    balancing::<P>(cx, |balancing| {
        if balancing.balancer.allow_more(usize::saturated(count)) {
            return DONE;
        }
        cx.put_static(b"reduced tries due to limit");
        REDUCED
    })
}

/// [`DONE`] at the first try, otherwise the status, and [`BROKEN`] more if the server failed.
fn get_last_failure<P: Protocol>(cx: &CallContext) -> i32 {
    balancing::<P>(cx, |balancing| match balancing.balancer.last_failure() {
        None => DONE,
        Some(failure) => i32::from(failure.status) + if failure.failed { BROKEN } else { 0 },
    })
}

/// Milliseconds; 0 leaves a limit as it is.
fn set_timeouts<P: Protocol>(cx: &CallContext, connect: f64, send: f64, read: f64) -> i32 {
    let given = |ms: f64| Some(u64::saturated(ms)).filter(|ms| *ms > 0);
    balancing::<P>(cx, |balancing| {
        balancing.balancer.limit_times(Timeouts { connect: given(connect), send: given(send), read: given(read) });
        DONE
    })
}

fn enable_keepalive<P: Protocol>(cx: &CallContext, idle_ms: f64, requests: f64) -> i32 {
    balancing::<P>(cx, |balancing| {
        let kind = Pooling { size: balancing.pool_size, idle_ms: u64::saturated(idle_ms), requests: u64::saturated(requests) };
        match balancing.balancer.change(|target| target.keepalive = Some(kind)) {
            Some(()) => DONE,
            None => refuse(cx, "no current peer set"),
        }
    })
}

fn recreate_request<P: Protocol>(cx: &CallContext) -> i32 {
    balancing::<P>(cx, |balancing| {
        balancing.balancer.rewrite();
        DONE
    })
}

fn bind_to_local_addr<P: Protocol>(cx: &CallContext, text: &[u8]) -> i32 {
    balancing::<P>(cx, |balancing| match authority::parse_socket_address(text) {
        Some(address) => {
            balancing.balancer.bind(address);
            DONE
        }
        None => {
            cx.set_text(&[b"invalid addr ", text].concat());
            REFUSED
        }
    })
}

fn set_upstream_tls<P: Protocol>(cx: &CallContext, on: i32) -> i32 {
    balancing::<P>(
        cx,
        |balancing| {
            if balancing.balancer.use_tls(on != 0) { DONE } else { refuse(cx, "no TLS settings in a location without https") }
        },
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses() {
        for (text, shown) in [
            ("127.0.0.1", "127.0.0.1:80"),
            ("127.0.0.1:81", "127.0.0.1:81"),
            ("[::1]", "[::1]:80"),
            ("[::1]:81", "[::1]:81"),
            ("unix:/a.sock", "unix:/a.sock"),
        ] {
            assert_eq!(parse_peer(text.as_bytes(), 80).map(|address| address.to_string()).as_deref(), Ok(shown));
        }
        for (text, error) in [
            ("", "no host"),
            ("example.org", "no host allowed"),
            ("127.0.0.1:0", "invalid port"),
            ("127.0.0.1:+80", "invalid port"),
            ("127.0.0.1:65536", "invalid port"),
            ("::1", "invalid port"),
            ("[::1", "invalid host"),
            ("[::1]x", "invalid host"),
            ("[::g]", "invalid IPv6 address"),
            ("127.0.0.1/a", "invalid host"),
            ("unix:", "no path in the unix domain socket"),
        ] {
            assert_eq!(parse_peer(text.as_bytes(), 80), Err(error), "{text}");
        }
        assert!(parse_peer(&[b"unix:/".as_slice(), &[b'a'; 200]].concat(), 80).is_err());
    }
}
