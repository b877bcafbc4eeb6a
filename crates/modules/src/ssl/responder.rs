//! Queries an OCSP responder over HTTP (`ngx_event_openssl_stapling.c`).

use base::authority::{self, Host};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use net::address::SocketAddress;
use net::connect::{Options, connect};
use resolver::settings::Resolving;
use std::net::{SocketAddr, ToSocketAddrs};
use std::time::Duration;
use wire::uri::escape::{Class, escape};

/// How long a responder may take in all.
const LIMIT: Duration = Duration::from_secs(60);
/// The longest response.
const LONGEST: usize = 64 * 1024;

base::message_error! {
    /// Why the status of a certificate is not known, for the log.
    pub(super) struct StatusError;
}

/// Where to ask.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Responder {
    /// Host and port as they go into `Host`.
    host: String,
    /// The host alone.
    name: String,
    port: u16,
    path: String,
    /// What the system knew of the name when the configuration was read.
    addresses: Vec<SocketAddr>,
}

impl Responder {
    /// Takes a URL apart.
    ///
    /// # Errors
    /// nginx's words, without the place.
    pub(super) fn parse(url: &str) -> Result<Responder, &'static str> {
        let rest = url.get(7..).filter(|_| url.get(..7).is_some_and(|scheme| scheme.eq_ignore_ascii_case("http://")));
        let rest = rest.ok_or("invalid URL prefix")?;
        let (host, path) = rest.find('/').map_or((rest, ""), |at| rest.split_at(at));
        let authority = authority::parse(host)?;
        let name = match authority.host {
            Host::Ip(ip) => ip.to_string(),
            Host::Name(name) => name.to_owned(),
        };
        let port = authority.port.unwrap_or(80);
        let slash = if path.ends_with('/') { "" } else { "/" };
        Ok(Responder { host: host.to_owned(), name, port, path: format!("{path}{slash}"), addresses: Vec::new() })
    }

    /// Has the system look the name up now, for the case that there is no resolver.
    ///
    /// # Errors
    /// nginx's words.
    pub(super) fn look_up(&mut self) -> Result<(), &'static str> {
        let found = (self.name.as_str(), self.port).to_socket_addrs().map_err(|_| "host not found")?;
        self.addresses = found.collect();
        Ok(())
    }

    /// Its log context.
    pub(super) fn log_context(&self) -> &str {
        &self.host
    }

    async fn addresses(&self, resolving: &Resolving) -> Result<Vec<SocketAddr>, StatusError> {
        match resolving.usable() {
            Some(resolver) => match resolver.resolve(self.name.as_bytes(), resolving.limit()).await {
                Ok(found) => Ok(found.iter().map(|ip| SocketAddr::new(ip, self.port)).collect()),
                Err(failure) => Err(format!("{} could not be resolved ({failure})", self.name).into()),
            },
            None if self.addresses.is_empty() => match self.name.parse() {
                Ok(ip) => Ok(vec![SocketAddr::new(ip, self.port)]),
                Err(_) => Err(format!("no resolver defined to resolve {}", self.name).into()),
            },
            None => Ok(self.addresses.clone()),
        }
    }

    /// The answer to a question, in DER.
    ///
    /// # Errors
    /// Why there is none, for the log.
    pub(super) async fn query(&self, resolving: &Resolving, question: &[u8]) -> Result<Vec<u8>, StatusError> {
        let addresses = self.addresses(resolving).await?;
        let mut last = StatusError::from("OCSP responder prematurely closed connection");
        for address in addresses {
            match net::time::timeout(LIMIT, self.exchange(address, question)).await {
                Ok(Ok(response)) => return Ok(response),
                Ok(Err(error)) => last = error,
                Err(_) => last = "OCSP responder timed out (110: Connection timed out)".into(),
            }
        }
        Err(last)
    }

    async fn exchange(&self, address: SocketAddr, question: &[u8]) -> Result<Vec<u8>, StatusError> {
        let failed = |call: &str, error: &std::io::Error| format!("{call}() failed {}", base::errno::describe(error));
        let target = SocketAddress::Internet(address);
        let mut stream = connect(&target, Options::default()).await.map_err(|error| failed("connect", error.error()))?;
        let mut request = format!("GET {}", self.path).into_bytes();
        escape(STANDARD.encode(question).as_bytes(), Class::UriComponent, &mut request);
        request.extend_from_slice(format!(" HTTP/1.0\r\nHost: {}\r\n\r\n", self.host).as_bytes());
        stream.write_all(&request).await.map_err(|error| failed("send", &error))?;
        let mut bytes = Vec::new();
        loop {
            let count = stream.read(&mut bytes).await.map_err(|error| failed("recv", &error))?;
            if let Some(response) = body(&bytes, count == 0)? {
                return Ok(response.to_vec());
            }
            if count == 0 {
                return Err("OCSP responder prematurely closed connection".into());
            }
            if bytes.len() > LONGEST {
                return Err("OCSP responder sent invalid response".into());
            }
        }
    }
}

/// Head and body, once the head is whole. Line feeds alone end lines too.
fn split(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let ends = [(&b"\r\n\r\n"[..], 4), (b"\n\n", 2)];
    let found = ends.into_iter().filter_map(|(end, length)| Some((memchr::memmem::find(bytes, end)?, length)));
    let (at, length) = found.min()?;
    Some((bytes.get(..at)?, bytes.get(at + length..)?))
}

/// The body of a response, once it is whole; `ended`: nothing more will come.
fn body(bytes: &[u8], ended: bool) -> Result<Option<&[u8]>, StatusError> {
    let invalid = || StatusError::from("OCSP responder sent invalid response");
    let Some((head, body)) = split(bytes) else { return Ok(None) };
    let head = std::str::from_utf8(head).map_err(|_| invalid())?;
    let mut lines = head.lines();
    if !lines.next().is_some_and(|line| line.starts_with("HTTP/1.")) {
        return Err(invalid());
    }
    let mut length = None;
    for (name, value) in lines.filter_map(|line| line.split_once(':')) {
        let value = value.trim();
        if name.eq_ignore_ascii_case("content-length") {
            length = Some(value.parse::<usize>().map_err(|_| invalid())?);
        }
        if name.eq_ignore_ascii_case("content-type") && !value.eq_ignore_ascii_case("application/ocsp-response") {
            return Err(format!("OCSP responder sent invalid \"Content-Type\" header: \"{value}\"").into());
        }
    }
    Ok(match length {
        Some(length) => body.get(..length),
        None => ended.then_some(body),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls() {
        let found = Responder::parse("http://example.com:8080/ocsp").unwrap();
        assert_eq!((&*found.name, found.port, &*found.path, found.log_context()), ("example.com", 8080, "/ocsp/", "example.com:8080"));
        let found = Responder::parse("HTTP://[::1]").unwrap();
        assert_eq!((&*found.name, found.port, &*found.path), ("::1", 80, "/"));
        for (url, words) in [
            ("https://a/", "invalid URL prefix"),
            ("http://", "no host"),
            ("http://:1", "no host"),
            ("http://a:0", "invalid port"),
            ("http://a:+1", "invalid port"),
        ] {
            assert_eq!(Responder::parse(url), Err(words), "{url}");
        }
    }

    #[test]
    fn answers() {
        assert_eq!(body(b"HTTP/1.0 200 OK\r\nContent-", false), Ok(None));
        let counted = b"HTTP/1.1 200 OK\r\nContent-Type: application/ocsp-response\r\nContent-Length: 2\r\n\r\nabc";
        assert_eq!(body(counted, false), Ok(Some(&b"ab"[..])));
        assert_eq!(body(b"HTTP/1.0 200 OK\r\n\r\nabc", false), Ok(None));
        assert_eq!(body(b"HTTP/1.0 200 OK\r\n\r\nabc", true), Ok(Some(&b"abc"[..])));
        assert_eq!(body(b"HTTP/1.1 200 OK\nContent-Type: application/ocsp-response\n\nabc", true), Ok(Some(&b"abc"[..])));
        assert!(body(b"nothing\r\n\r\n", true).is_err());
        let page = body(b"HTTP/1.0 404 No\r\nContent-Type: text/html\r\n\r\n", true).unwrap_err();
        assert_eq!(page, "OCSP responder sent invalid \"Content-Type\" header: \"text/html\"".into());
    }
}
