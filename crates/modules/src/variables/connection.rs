//! Variables of the connection: both ends, the PROXY protocol, TLS or not.

use super::{define_variable, put, put_port, put_seconds, root};
use base::clock;
use base::log::Level;
use base::text::push_number;
use http::variables::define as http_define;
use session::address::{Address, Proxied};
use session::variable::NO_CACHE;
use session::{Client, Variables, log_client};
use std::io::Write;
use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;
use wire::proxy_protocol::{self, Tlv, TlvError};

/// Those of HTTP's connections.
pub(super) fn define(variables: &mut http::Variables) {
    define_client(variables);
    http_define(variables, "scheme", 0, |request, out| put(out, if request.connection.is_tls() { b"https" } else { b"http" }));
    http_define(variables, "https", 0, |request, out| put(out, if request.connection.is_tls() { b"on" } else { b"" }));
    http_define(variables, "connection_requests", 0, |request, out| {
        push_number(out, request.number.get());
        true
    });
    http_define(variables, "connection_time", NO_CACHE, |request, out| {
        put_seconds(out, clock::now().epoch_ms().saturating_sub(request.connection.started_ms))
    });
    http_define(variables, "pipe", 0, |request, out| put(out, if root(request).flags.pipelined.get() { b"p" } else { b"." }));
}

/// Those of all connections.
pub(super) fn define_client<S: Client>(variables: &mut Variables<S>) {
    define_variable(variables, "remote_addr", 0, |session, out| {
        session.client().push_host(out);
        true
    });
    define_variable(variables, "remote_port", 0, |session, out| put_port(out, session.client().port().unwrap_or(0)));
    define_variable(variables, "binary_remote_addr", 0, |session, out| {
        push_binary(&session.client(), out);
        true
    });
    define_variable(variables, "server_addr", 0, |session, out| {
        let local = &session.connection().local;
        local.push_host(out);
        if let Address::Unix(Some(path)) = local {
            use std::os::unix::ffi::OsStrExt;
            out.extend_from_slice(path.as_os_str().as_bytes());
        }
        true
    });
    define_variable(variables, "server_port", 0, |session, out| put_port(out, session.connection().local.port().unwrap_or(0)));
    define_variable(variables, "connection", 0, |session, out| {
        push_number(out, session.connection().id);
        true
    });
    define_variable(variables, "proxy_protocol_addr", 0, |session, out| proxied(session, |p| push_ip(out, p.client.ip())));
    define_variable(variables, "proxy_protocol_port", 0, |session, out| proxied(session, |p| put_port(out, p.client.port())));
    define_variable(variables, "proxy_protocol_server_addr", 0, |session, out| proxied(session, |p| push_ip(out, p.server.ip())));
    define_variable(variables, "proxy_protocol_server_port", 0, |session, out| proxied(session, |p| put_port(out, p.server.port())));
    let tlv = |name: &str| -> session::variable::Get<S> {
        let name = name.to_owned();
        Rc::new(move |session, out| proxied(session, |p| push_tlv(session, &p.tlvs, &name, out)))
    };
    variables.define_family("proxy_protocol_tlv_", 0, Rc::new(tlv));
}

fn proxied<S: Client>(session: &S, f: impl FnOnce(&Proxied) -> bool) -> bool {
    session.connection().proxy_protocol.borrow().as_deref().is_some_and(f)
}

fn push_tlv<S: Client>(session: &S, tlvs: &[u8], name: &str, out: &mut Vec<u8>) -> bool {
    match proxy_protocol::find(tlvs, name) {
        Ok(None) => return false,
        Ok(Some(Tlv::Bytes(bytes))) => out.extend_from_slice(bytes),
        Ok(Some(Tlv::Number(number))) => push_number(out, u64::from(number)),
        Err(error) => {
            match error {
                TlvError::Broken => log_client!(session, Level::Error, "broken PROXY protocol TLV"),
                TlvError::Invalid => log_client!(session, Level::Error, "invalid PROXY protocol TLV \"{name}\""),
                TlvError::Unknown => log_client!(session, Level::Error, "unknown PROXY protocol TLV \"{name}\""),
            }
            return false;
        }
    }
    true
}

fn push_ip(out: &mut Vec<u8>, ip: IpAddr) -> bool {
    // Writing to a Vec cannot fail.
    let _ = write!(out, "{ip}");
    true
}

/// The address in network byte order; the text of a unix client.
pub(crate) fn push_binary(address: &Address, out: &mut Vec<u8>) {
    match address {
        Address::Ip(SocketAddr::V4(v4)) => out.extend_from_slice(&v4.ip().octets()),
        Address::Ip(SocketAddr::V6(v6)) => out.extend_from_slice(&v6.ip().octets()),
        Address::Unix(_) => address.push_host(out),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn binary_addresses() {
        let mut out = Vec::new();
        push_binary(&Address::Ip("1.2.3.4:5".parse().unwrap()), &mut out);
        assert_eq!(out, [1, 2, 3, 4]);
        out.clear();
        push_binary(&Address::Ip("[::1]:5".parse().unwrap()), &mut out);
        assert_eq!(out.len(), 16);
        out.clear();
        push_binary(&Address::Unix(None), &mut out);
        assert_eq!(out, b"unix:");
    }
}
