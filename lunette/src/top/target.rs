//! The location of the metrics, and how they are fetched.

use crate::command_error::CommandError;
use std::fmt;
use std::io::{self, Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::time::Duration;

/// A server that does not answer for so long is taken for gone.
const PATIENCE: Duration = Duration::from_secs(10);
/// More than this no report is.
const LIMIT: u64 = 64 << 20;

#[derive(Debug, PartialEq, Eq)]
pub(super) enum At {
    /// A name or an address with its port.
    Host(String),
    Unix(PathBuf),
}

#[derive(Debug, PartialEq, Eq)]
pub(super) struct Target {
    pub(super) at: At,
    /// The field `Host`.
    pub(super) host: String,
    pub(super) path: String,
}

impl fmt::Display for Target {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.at {
            At::Host(host) => write!(out, "http://{host}{}", self.path),
            At::Unix(socket) => write!(out, "http://unix:{}:{}", socket.display(), self.path),
        }
    }
}

impl Target {
    /// `http://HOST[:PORT][/PATH]` or `http://unix:SOCKET:/PATH`.
    pub(super) fn parse(url: &str) -> Result<Target, CommandError> {
        let rest = match url.split_once("://") {
            Some(("http", rest)) => rest,
            Some((scheme, _)) => return Err(format!("\"{scheme}\" URLs are not supported, http:// is").into()),
            None => url,
        };
        if let Some(rest) = rest.strip_prefix("unix:") {
            let (socket, path) = rest.split_once(':').unwrap_or((rest, "/metrics"));
            return Ok(Target { at: At::Unix(socket.into()), host: "localhost".to_owned(), path: path.to_owned() });
        }
        let (host, path) = rest.find('/').map_or((rest, "/metrics"), |at| rest.split_at(at));
        let has_port = host.rsplit_once(':').is_some_and(|(_, port)| port.parse::<u16>().is_ok());
        if host.is_empty() || path.bytes().any(|byte| byte <= b' ') {
            return Err(format!("invalid URL \"{url}\"").into());
        }
        let address = if has_port { host.to_owned() } else { format!("{host}:80") };
        Ok(Target { at: At::Host(address), host: host.to_owned(), path: path.to_owned() })
    }

    /// The response's body.
    pub(super) fn get(&self) -> io::Result<String> {
        // Version 1.0 asks for a body that ends with the connection.
        let request = format!("GET {} HTTP/1.0\r\nHost: {}\r\nUser-Agent: lunette-top\r\n\r\n", self.path, self.host);
        match &self.at {
            At::Host(address) => {
                let stream = connect(address)?;
                stream.set_read_timeout(Some(PATIENCE))?;
                stream.set_write_timeout(Some(PATIENCE))?;
                exchange(stream, &request)
            }
            At::Unix(socket) => {
                let stream = UnixStream::connect(socket)?;
                stream.set_read_timeout(Some(PATIENCE))?;
                stream.set_write_timeout(Some(PATIENCE))?;
                exchange(stream, &request)
            }
        }
    }
}

/// A name may have several addresses: the first that answers.
fn connect(address: &str) -> io::Result<TcpStream> {
    let mut last = io::Error::new(io::ErrorKind::NotFound, "no address");
    for address in address.to_socket_addrs()? {
        match TcpStream::connect_timeout(&address, PATIENCE) {
            Ok(stream) => return Ok(stream),
            Err(error) => last = error,
        }
    }
    Err(last)
}

fn exchange(mut stream: impl Read + Write, request: &str) -> io::Result<String> {
    stream.write_all(request.as_bytes())?;
    let mut bytes = Vec::new();
    stream.take(LIMIT).read_to_end(&mut bytes)?;
    let text = String::from_utf8_lossy(&bytes);
    let (head, body) = text.split_once("\r\n\r\n").ok_or_else(|| io::Error::other("no HTTP answer"))?;
    let line = head.lines().next().unwrap_or_default();
    match line.split(' ').nth(1) {
        Some("200") => Ok(body.to_owned()),
        Some(status) => Err(io::Error::other(format!("the server answers {status}"))),
        None => Err(io::Error::other("no HTTP answer")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls() {
        let at = |url: &str| Target::parse(url).map(|target| target.to_string());
        assert_eq!(at("http://a:81/m?x").as_deref(), Ok("http://a:81/m?x"));
        assert_eq!(at("a").as_deref(), Ok("http://a:80/metrics"));
        assert_eq!(at("[::1]:8080").as_deref(), Ok("http://[::1]:8080/metrics"));
        assert_eq!(at("http://unix:/run/x:/m").as_deref(), Ok("http://unix:/run/x:/m"));
        assert_eq!(at("https://a/").unwrap_err(), "\"https\" URLs are not supported, http:// is".into());
        assert!(at("http:///m").is_err() && at("http://a/m m").is_err());
    }
}
