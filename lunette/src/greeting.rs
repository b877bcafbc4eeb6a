//! The message on the terminal after a successful start: where the server listens.

use http::Http;
use http::connection::Address;
use net::listener::Kind;
use std::io::{self, IsTerminal, Write};
use std::path::Path;
use stream::Configuration;

/// Says it on standard error if that is a terminal. It comes before the sockets are opened: what goes wrong there is said below it.
pub(crate) fn print(http: Option<&Http>, stream: Option<&Configuration>) {
    let mut terminal = io::stderr().lock();
    if terminal.is_terminal() {
        // Nothing can be done about a terminal that is gone.
        drop(terminal.write_all(text(http, stream).as_bytes()));
    }
}

fn text(http: Option<&Http>, stream: Option<&Configuration>) -> String {
    let shown = |listen: &http::root::Listen| {
        let is_tls = listen.endpoints.iter().any(|(_, endpoint)| endpoint.tls);
        place(&listen.address, is_tls)
    };
    let sessions = stream.iter().flat_map(|stream| &stream.listens).map(|listen| socket(&listen.address, listen.kind));
    let places: Vec<_> = http.iter().flat_map(|http| &http.listens).map(shown).chain(sessions).collect();
    if places.is_empty() { String::new() } else { format!("nginx: starting on {}\n", places.join(", ")) }
}

/// An address that sessions come to, of any protocol.
fn socket(address: &Address, kind: Kind) -> String {
    let mut place = Vec::new();
    address.push_whole(&mut place);
    let suffix = if kind == Kind::Datagram { " (udp)" } else { "" };
    format!("{}{suffix}", String::from_utf8_lossy(&place))
}

/// An address as a URL that can be opened here: a socket on all addresses is also one on this machine's own.
fn place(address: &Address, is_tls: bool) -> String {
    let (scheme, usual) = if is_tls { ("https", 443) } else { ("http", 80) };
    let address = match address {
        Address::Ip(address) => address,
        Address::Unix(path) => return format!("unix:{}", path.as_deref().unwrap_or(Path::new("")).display()),
    };
    let host = match address.ip() {
        ip if ip.is_unspecified() => "localhost".to_owned(),
        std::net::IpAddr::V6(ip) => format!("[{ip}]"),
        ip => ip.to_string(),
    };
    match address.port() {
        port if port == usual => format!("{scheme}://{host}/"),
        port => format!("{scheme}://{host}:{port}/"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_can_be_opened() {
        let at = |text: &str, is_tls| place(&Address::Ip(text.parse().unwrap()), is_tls);
        assert_eq!(at("0.0.0.0:8080", false), "http://localhost:8080/");
        assert_eq!(at("[::]:443", true), "https://localhost/");
        assert_eq!(at("[::1]:80", false), "http://[::1]/");
        assert_eq!(at("127.0.0.1:80", true), "https://127.0.0.1:80/");
        assert_eq!(place(&Address::Unix(Some("/run/x".into())), false), "unix:/run/x");
        assert_eq!(socket(&Address::Ip("0.0.0.0:53".parse().unwrap()), Kind::Datagram), "0.0.0.0:53 (udp)");
    }
}
