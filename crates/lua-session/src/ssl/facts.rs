//! `ngx.ssl`: information about the client's connection.

use super::{PLAIN, handshake_state, push_result, refused, session};
use crate::protocol::Protocol;
use base::saturated::Saturated;
use lua::{CallContext, Group, PhaseSet, Raise, Row, Stack};
use session::Client;
use session::address::Address;
use session::tls::Secured;
use std::net::IpAddr;

const ALL: PhaseSet = PhaseSet::EVERYWHERE;

/// The part's rows and glue.
pub(super) fn group<P: Protocol>() -> Group {
    Group {
        name: "ngx.ssl facts",
        rows: vec![
            Row::calls("ssl_server_name", ALL, server_name::<P>),
            Row::calls("ssl_server_port", ALL, server_port::<P>),
            Row::calls("ssl_raw_server_addr", ALL, |cx, stack| raw_address::<P>(cx, stack, false)),
            Row::calls("ssl_raw_client_addr", ALL, |cx, stack| raw_address::<P>(cx, stack, true)),
            Row::calls("ssl_version", ALL, version::<P>),
            Row::calls("ssl_client_random", ALL, client_random::<P>),
            Row::calls("ssl_shared_ciphers", ALL, shared_ciphers::<P>),
            Row::calls("ssl_export", ALL, export::<P>),
            Row::calls("ssl_untold", ALL, unavailable::<P>),
        ],
        glue: include_str!("facts.lua"),
    }
}

fn server_name<P: Protocol>(cx: &CallContext, stack: &mut Stack<'_>) -> Result<usize, Raise> {
    let Some(session) = session::<P>(cx)? else { return Ok(refused(stack, PLAIN)) };
    let Some(info) = session.connection().tls_info() else { return Ok(refused(stack, PLAIN)) };
    match &info.server_name {
        Some(name) => stack.push_bytes(name),
        None => stack.push_nil(),
    }
    Ok(1)
}

fn server_port<P: Protocol>(cx: &CallContext, stack: &mut Stack<'_>) -> Result<usize, Raise> {
    let Some(session) = session::<P>(cx)? else { return Ok(refused(stack, PLAIN)) };
    if !session.connection().is_tls() {
        return Ok(refused(stack, PLAIN));
    }
    match session.connection().local.port() {
        Some(port) => {
            stack.push_number(port.into());
            Ok(1)
        }
        None => Ok(refused(stack, "unix domain has no port")),
    }
}

fn raw_address<P: Protocol>(cx: &CallContext, stack: &mut Stack<'_>, client: bool) -> Result<usize, Raise> {
    let Some(session) = session::<P>(cx)?.filter(|session| session.connection().is_tls()) else {
        stack.push_nil();
        return Ok(1 + refused(stack, PLAIN));
    };
    let connection = session.connection();
    let kind = match if client { &connection.peer } else { &connection.local } {
        Address::Unix(path) => {
            stack.push_bytes(path.as_deref().map_or(&[][..], |path| path.as_os_str().as_encoded_bytes()));
            "unix"
        }
        Address::Ip(address) => match address.ip() {
            IpAddr::V4(ip) => {
                stack.push_bytes(&ip.octets());
                "inet"
            }
            IpAddr::V6(ip) => {
                stack.push_bytes(&ip.octets());
                "inet6"
            }
        },
    };
    stack.push_bytes(kind.as_bytes());
    Ok(2)
}

/// In a handshake the version that it will come to.
fn version<P: Protocol>(cx: &CallContext, stack: &mut Stack<'_>) -> Result<usize, Raise> {
    let Some(session) = session::<P>(cx)? else { return Ok(refused(stack, PLAIN)) };
    let Some(info) = session.connection().tls_info() else { return Ok(refused(stack, PLAIN)) };
    let number = match info.protocol {
        "TLSv1.2" => Some(0x0303),
        "TLSv1.3" => Some(0x0304),
        _ => handshake_state::<P>(cx)?.ok().and_then(|shake| {
            let client_hello = shake.client_hello().ok()?;
            match &*shake.settings.borrow() {
                Some(settings) => settings.version(client_hello.hello.versions()),
                None => client_hello.hello.versions().filter(|number| (0x0301..=0x0304).contains(number)).max(),
            }
        }),
    };
    match number {
        Some(number) => {
            stack.push_number(number.into());
            Ok(1)
        }
        None => Ok(refused(stack, "bad ssl conn")),
    }
}

fn client_random<P: Protocol>(cx: &CallContext, stack: &mut Stack<'_>) -> Result<usize, Raise> {
    let Some(session) = session::<P>(cx)? else { return Ok(refused(stack, PLAIN)) };
    let info = session.connection().tls_info().ok_or(PLAIN);
    Ok(push_result(stack, info.map(|info| info.client_random)))
}

/// `shared_ciphers(filter)`
fn shared_ciphers<P: Protocol>(cx: &CallContext, stack: &mut Stack<'_>) -> Result<usize, Raise> {
    let Some(session) = session::<P>(cx)? else { return Ok(refused(stack, PLAIN)) };
    let Some(info) = session.connection().tls_info() else { return Ok(refused(stack, PLAIN)) };
    let suites = P::Session::tls_of(&info.server).handshakes.get().map(|handshakes| handshakes.suites()).unwrap_or_default();
    stack.push_table(suites.len(), 0);
    let table = stack.top();
    for (place, suite) in suites.iter().filter(|suite| info.suites.contains(suite)).enumerate() {
        stack.push_number((*suite).into());
        stack.set_item(table, place + 1);
    }
    Ok(1)
}

/// `export(length, label, context)`
fn export<P: Protocol>(cx: &CallContext, stack: &mut Stack<'_>) -> Result<usize, Raise> {
    let Some(session) = session::<P>(cx)? else { return Ok(refused(stack, PLAIN)) };
    let Some(info) = session.connection().tls_info() else { return Ok(refused(stack, PLAIN)) };
    let length = stack.number(1).filter(|length| (0.0..=65_535.0).contains(length)).map(usize::saturated);
    let (label, context) = (stack.check_bytes(2, "export_keying_material")?, stack.bytes(3));
    let made = length.zip(info.exporter.as_ref()).and_then(|(length, exporter)| exporter.export(length, label, context));
    Ok(push_result(stack, made.ok_or("SSL_export_keying_material() failed")))
}

/// What the library of TLS does not tell anybody.
fn unavailable<P: Protocol>(cx: &CallContext, stack: &mut Stack<'_>) -> Result<usize, Raise> {
    let Some(session) = session::<P>(cx)? else { return Ok(refused(stack, PLAIN)) };
    let text = if session.connection().is_tls() { "not supported: TLS is not OpenSSL's here" } else { PLAIN };
    Ok(refused(stack, text))
}
