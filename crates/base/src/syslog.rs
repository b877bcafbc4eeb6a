//! Messages to a syslog daemon (RFC 3164), for `error_log syslog:` and `access_log syslog:`.
//!
//! A daemon that does not keep up or is not there costs messages, never a request: sockets do not block.

use crate::clock;
use crate::log::Level;
use std::cell::RefCell;
use std::io::{self, Write};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, ToSocketAddrs, UdpSocket};
use std::os::unix::net::UnixDatagram;
use std::path::PathBuf;

/// Facilities by code (RFC 3164 section 4.1.1).
const FACILITIES: [&str; 24] = [
    "kern", "user", "mail", "daemon", "auth", "intern", "lpr", "news", "uucp", "clock", "authpriv", "ftp", "ntp", "audit", "alert", "cron",
    "local0", "local1", "local2", "local3", "local4", "local5", "local6", "local7",
];

/// Severities by code, with nginx's names.
const SEVERITIES: [&str; 8] = ["emerg", "alert", "crit", "error", "warn", "notice", "info", "debug"];

#[derive(Clone, Debug)]
enum Server {
    Udp(SocketAddr),
    Unix(PathBuf),
}

#[derive(Debug)]
enum Socket {
    Udp(UdpSocket),
    Unix(UnixDatagram),
}

crate::message_error! {
    /// Why the parameters of a `syslog:` destination are refused, in nginx's words.
    pub struct SyslogError;
}

/// One syslog daemon with the marks that messages to it carry.
#[derive(Debug)]
pub struct Syslog {
    server: Server,
    facility: u8,
    severity: u8,
    tag: String,
    hostname: Option<String>,
    socket: RefCell<Option<Socket>>,
}

impl Syslog {
    /// Parses what follows `syslog:` — `server=ADDRESS[,facility=…][,severity=…][,tag=…][,nohostname]`.
    ///
    /// # Errors
    /// nginx's texts, e.g. `no syslog server specified`.
    pub fn parse(text: &str, hostname: &str) -> Result<Syslog, SyslogError> {
        let (mut server, mut facility, mut severity, mut tag) = (None, None, None, None);
        let mut hostname = Some(hostname.to_owned());
        for part in text.split(',') {
            let (name, value) = part.split_once('=').unwrap_or((part, ""));
            let position = |names: &[&str]| names.iter().position(|known| *known == value).and_then(|at| u8::try_from(at).ok());
            let once = |taken: bool| if taken { Err(format!("duplicate syslog \"{name}\"")) } else { Ok(()) };
            match name {
                "server" => {
                    once(server.is_some())?;
                    server = Some(parse_server(value)?);
                }
                "facility" => {
                    once(facility.is_some())?;
                    facility = Some(position(&FACILITIES).ok_or_else(|| format!("unknown syslog facility \"{value}\""))?);
                }
                "severity" => {
                    once(severity.is_some())?;
                    severity = Some(position(&SEVERITIES).ok_or_else(|| format!("unknown syslog severity \"{value}\""))?);
                }
                "tag" => {
                    once(tag.is_some())?;
                    tag = Some(check_tag(value)?);
                }
                "nohostname" if part == name => hostname = None,
                _ => return Err(format!("unknown syslog parameter \"{part}\"").into()),
            }
        }
        let server = server.ok_or("no syslog server specified")?;
        Ok(Syslog {
            server,
            facility: facility.unwrap_or(23),
            severity: severity.unwrap_or(6),
            tag: tag.unwrap_or_else(|| "nginx".to_owned()),
            hostname,
            socket: RefCell::default(),
        })
    }

    /// Appends the head of a message of the given severity, or of the configured one.
    pub fn push_head(&self, level: Option<Level>, out: &mut Vec<u8>) {
        let severity = level.map_or(self.severity, |level| (level as u8).saturating_sub(1));
        let sec = clock::now().sec;
        let now = clock::civil(sec + i64::from(clock::offset(sec)));
        let clock::Civil { month, day, hour, minute, second, .. } = now;
        let priority = u32::from(self.facility) * 8 + u32::from(severity);
        // Writing to a Vec cannot fail.
        let _ = write!(out, "<{priority}>{} {day:2} {hour:02}:{minute:02}:{second:02} ", clock::month_name(month));
        if let Some(hostname) = &self.hostname {
            let _ = write!(out, "{hostname} ");
        }
        let _ = write!(out, "{}: ", self.tag);
    }

    /// Sends a message with its head. A socket that fails is opened anew for the next message.
    ///
    /// # Errors
    /// Those of `connect(2)` and `send(2)`.
    pub fn send(&self, message: &[u8]) -> io::Result<()> {
        let mut slot = self.socket.borrow_mut();
        let socket = match slot.take() {
            Some(socket) => socket,
            None => self.open()?,
        };
        let sent = match &socket {
            Socket::Udp(udp) => udp.send(message),
            Socket::Unix(unix) => unix.send(message),
        };
        match sent {
            Ok(_) => {
                *slot = Some(socket);
                Ok(())
            }
            Err(error) => Err(error),
        }
    }

    fn open(&self) -> io::Result<Socket> {
        match &self.server {
            Server::Udp(address) => {
                let any: SocketAddr = if address.is_ipv4() { (Ipv4Addr::UNSPECIFIED, 0).into() } else { (Ipv6Addr::UNSPECIFIED, 0).into() };
                let socket = UdpSocket::bind(any)?;
                socket.connect(address)?;
                socket.set_nonblocking(true)?;
                Ok(Socket::Udp(socket))
            }
            Server::Unix(path) => {
                let socket = UnixDatagram::unbound()?;
                socket.connect(path)?;
                socket.set_nonblocking(true)?;
                Ok(Socket::Unix(socket))
            }
        }
    }
}

fn parse_server(value: &str) -> Result<Server, SyslogError> {
    if let Some(path) = value.strip_prefix("unix:") {
        return Ok(Server::Unix(PathBuf::from(path)));
    }
    let resolve = |mut found: std::vec::IntoIter<SocketAddr>| found.next();
    let bare = value.trim_start_matches('[').trim_end_matches(']');
    let address = match value.parse::<SocketAddr>() {
        Ok(address) => Some(address),
        Err(_) => value.to_socket_addrs().ok().and_then(resolve).or_else(|| (bare, 514).to_socket_addrs().ok().and_then(resolve)),
    };
    address.map(Server::Udp).ok_or_else(|| format!("host not found in syslog server \"{value}\"").into())
}

fn check_tag(value: &str) -> Result<String, SyslogError> {
    if value.len() > 32 {
        return Err("syslog tag length exceeds 32".into());
    }
    if !value.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_') {
        return Err("syslog \"tag\" only allows alphanumeric characters and underscore".into());
    }
    Ok(value.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn a_message_arrives_with_its_head() {
        let server = UdpSocket::bind("127.0.0.1:0").unwrap();
        server.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
        let address = server.local_addr().unwrap();
        let syslog = Syslog::parse(&format!("server={address},facility=user,severity=warn,tag=t"), "host").unwrap();
        let mut message = Vec::new();
        syslog.push_head(None, &mut message);
        message.extend_from_slice(b"text");
        syslog.send(&message).unwrap();
        let mut buffer = [0; 200];
        let length = server.recv(&mut buffer).unwrap();
        let text = std::str::from_utf8(&buffer[..length]).unwrap();
        assert!(text.starts_with("<12>") && text.ends_with(" host t: text"), "{text}");
    }

    #[test]
    fn errors_are_nginxs() {
        for (text, error) in [
            ("tag=x", "no syslog server specified"),
            ("server=127.0.0.1,server=127.0.0.1", "duplicate syslog \"server\""),
            ("facility=x", "unknown syslog facility \"x\""),
            ("severity=x", "unknown syslog severity \"x\""),
            ("tag=a-b", "syslog \"tag\" only allows alphanumeric characters and underscore"),
            ("x=y", "unknown syslog parameter \"x=y\""),
        ] {
            assert_eq!(Syslog::parse(text, "h").unwrap_err(), error.into());
        }
    }
}
