//! Variables of the connection: both ends, the PROXY protocol, TLS or not.

use super::{put, put_port, put_seconds, root};
use base::clock;
use base::log::Level;
use base::text::push_number;
use http::connection::{Address, Proxied};
use http::variables::{define as http_define, define_family};
use http::{Request, Variables, log_request};
use session::variable::NO_CACHE;
use std::io::Write;
use std::net::{IpAddr, SocketAddr};
use wire::proxy_protocol::{self, Tlv, TlvError};

pub(super) fn define(variables: &mut Variables) {
    http_define(variables, "remote_addr", 0, |request, out| {
        request.client.borrow().push_host(out);
        true
    });
    http_define(variables, "remote_port", 0, |request, out| put_port(out, request.client.borrow().port().unwrap_or(0)));
    http_define(variables, "binary_remote_addr", 0, |request, out| {
        push_binary(&request.client.borrow(), out);
        true
    });
    http_define(variables, "server_addr", 0, |request, out| {
        request.connection.local.push_host(out);
        if let Address::Unix(Some(path)) = &request.connection.local {
            use std::os::unix::ffi::OsStrExt;
            out.extend_from_slice(path.as_os_str().as_bytes());
        }
        true
    });
    http_define(variables, "server_port", 0, |request, out| put_port(out, request.connection.local.port().unwrap_or(0)));
    http_define(variables, "scheme", 0, |request, out| put(out, if request.connection.is_tls() { b"https" } else { b"http" }));
    http_define(variables, "https", 0, |request, out| put(out, if request.connection.is_tls() { b"on" } else { b"" }));
    http_define(variables, "connection", 0, |request, out| {
        push_number(out, request.connection.id);
        true
    });
    http_define(variables, "connection_requests", 0, |request, out| {
        push_number(out, request.number.get());
        true
    });
    http_define(variables, "connection_time", NO_CACHE, |request, out| {
        put_seconds(out, clock::now().epoch_ms().saturating_sub(request.connection.started_ms))
    });
    http_define(variables, "pipe", 0, |request, out| put(out, if root(request).flags.pipelined.get() { b"p" } else { b"." }));
    http_define(variables, "proxy_protocol_addr", 0, |request, out| proxied(request, |p| push_ip(out, p.client.ip())));
    http_define(variables, "proxy_protocol_port", 0, |request, out| proxied(request, |p| put_port(out, p.client.port())));
    http_define(variables, "proxy_protocol_server_addr", 0, |request, out| proxied(request, |p| push_ip(out, p.server.ip())));
    http_define(variables, "proxy_protocol_server_port", 0, |request, out| proxied(request, |p| put_port(out, p.server.port())));
    define_family(variables, "proxy_protocol_tlv_", 0, |request, name, out| proxied(request, |p| push_tlv(request, &p.tlvs, name, out)));
}

fn proxied(request: &Request, f: impl FnOnce(&Proxied) -> bool) -> bool {
    request.connection.proxy_protocol.borrow().as_deref().is_some_and(f)
}

fn push_tlv(request: &Request, tlvs: &[u8], name: &str, out: &mut Vec<u8>) -> bool {
    match proxy_protocol::find(tlvs, name) {
        Ok(None) => return false,
        Ok(Some(Tlv::Bytes(bytes))) => out.extend_from_slice(bytes),
        Ok(Some(Tlv::Number(number))) => push_number(out, u64::from(number)),
        Err(error) => {
            match error {
                TlvError::Broken => log_request!(request, Level::Error, "broken PROXY protocol TLV"),
                TlvError::Invalid => log_request!(request, Level::Error, "invalid PROXY protocol TLV \"{name}\""),
                TlvError::Unknown => log_request!(request, Level::Error, "unknown PROXY protocol TLV \"{name}\""),
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
