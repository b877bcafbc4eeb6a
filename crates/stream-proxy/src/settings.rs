//! The settings of the stream proxy module and their merged values.

use crate::groups::Secured;
use crate::pass::Pass;
use base::log::Level;
use conf::scope::Config;
use conf::switch::Switch;
use std::rc::Rc;
use stream::{Complex, Session, log_session};
use upstream::bind::Bind;
use upstream::secure::conf::TlsConf;

/// A number of responses that no session reaches, as in nginx: none is expected.
pub(crate) const ENDLESS: u64 = i32::MAX as u64;

/// The defaults, which are nginx's.
mod default {
    pub(super) const CONNECT_TIMEOUT_MS: u64 = 60_000;
    pub(super) const TIMEOUT_MS: u64 = 600_000;
    pub(super) const BUFFER_SIZE: u64 = 16_384;
}

/// Which header of the PROXY protocol a server is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Header {
    /// Version 1, a line.
    Line,
    /// Version 2.
    Binary,
}

/// What a block says.
#[derive(Default)]
pub struct Proxy {
    /// `proxy_pass`
    pub pass: Option<Rc<Pass>>,
    /// `proxy_bind`; the inner `None` is `off`
    pub bind: Option<Switch<Bind<Session>>>,
    /// `proxy_connect_timeout`, milliseconds
    pub connect_timeout: Option<u64>,
    /// `proxy_timeout`, milliseconds
    pub timeout: Option<u64>,
    /// `proxy_next_upstream_timeout`, milliseconds
    pub next_timeout: Option<u64>,
    /// `proxy_next_upstream_tries`
    pub next_tries: Option<u64>,
    /// `proxy_next_upstream`
    pub next: Option<bool>,
    /// `proxy_buffer_size`, bytes
    pub buffer_size: Option<u64>,
    /// `proxy_upload_rate`
    pub upload_rate: Option<Complex>,
    /// `proxy_download_rate`
    pub download_rate: Option<Complex>,
    /// `proxy_requests`
    pub requests: Option<u64>,
    /// `proxy_responses`
    pub responses: Option<u64>,
    /// `proxy_protocol`; the inner `None` is `off`
    pub header: Option<Switch<Header>>,
    /// `proxy_half_close`
    pub half_close: Option<bool>,
    /// `proxy_socket_keepalive`
    pub socket_keepalive: Option<bool>,
    /// `proxy_socket_rcvbuf`
    pub socket_rcvbuf: Option<u64>,
    /// `proxy_socket_sndbuf`
    pub socket_sndbuf: Option<u64>,
    /// `proxy_ssl`
    pub ssl: Option<bool>,
    /// `proxy_ssl_*`
    pub secure: TlsConf<Session>,
}

impl Config for Proxy {
    // The pass is a server's own.
    fn inherit(&mut self, parent: &Self) {
        conf::inherit!(self, parent; bind, connect_timeout, timeout, next_timeout, next_tries, next, buffer_size);
        conf::inherit!(self, parent; upload_rate, download_rate, requests, responses, header, half_close);
        conf::inherit!(self, parent; socket_keepalive, socket_rcvbuf, socket_sndbuf, ssl);
        self.secure.inherit(&parent.secure);
    }
}

/// A server's settings.
pub struct Plan {
    /// The target.
    pub pass: Rc<Pass>,
    /// TLS to upstream servers.
    pub secure: Option<Secured>,
    /// `proxy_bind`
    pub bind: Option<Bind<Session>>,
    /// `proxy_connect_timeout`, milliseconds
    pub connect_timeout: u64,
    /// `proxy_timeout`, milliseconds
    pub timeout: u64,
    /// `proxy_next_upstream_timeout`, milliseconds; 0 is none
    pub next_timeout: u64,
    /// `proxy_next_upstream_tries`; 0 is no limit
    pub next_tries: usize,
    /// `proxy_next_upstream`
    pub next: bool,
    /// `proxy_buffer_size`, bytes
    pub buffer_size: usize,
    /// `proxy_upload_rate`
    pub upload_rate: Option<Complex>,
    /// `proxy_download_rate`
    pub download_rate: Option<Complex>,
    /// `proxy_requests`; 0 is no limit
    pub requests: u64,
    /// `proxy_responses`
    pub responses: u64,
    /// `proxy_protocol`
    pub header: Option<Header>,
    /// `proxy_half_close`
    pub half_close: bool,
    /// `proxy_socket_keepalive`
    pub socket_keepalive: bool,
    /// `proxy_socket_rcvbuf`
    pub socket_rcvbuf: Option<usize>,
    /// `proxy_socket_sndbuf`
    pub socket_sndbuf: Option<usize>,
}

fn size(value: u64) -> usize {
    usize::try_from(value).unwrap_or(usize::MAX)
}

impl Proxy {
    /// The settings of a server that passes sessions on to `pass`.
    #[must_use]
    pub fn plan(&self, pass: Rc<Pass>, secure: Option<Secured>) -> Plan {
        Plan {
            pass,
            secure,
            bind: self.bind.clone().and_then(Switch::on),
            connect_timeout: self.connect_timeout.unwrap_or(default::CONNECT_TIMEOUT_MS),
            timeout: self.timeout.unwrap_or(default::TIMEOUT_MS),
            next_timeout: self.next_timeout.unwrap_or(0),
            next_tries: size(self.next_tries.unwrap_or(0)),
            next: self.next.unwrap_or(true),
            buffer_size: size(self.buffer_size.unwrap_or(default::BUFFER_SIZE)),
            upload_rate: self.upload_rate.clone(),
            download_rate: self.download_rate.clone(),
            requests: self.requests.unwrap_or(0),
            responses: self.responses.unwrap_or(ENDLESS),
            header: self.header.and_then(Switch::on),
            half_close: self.half_close.unwrap_or(false),
            socket_keepalive: self.socket_keepalive.unwrap_or(false),
            socket_rcvbuf: self.socket_rcvbuf.filter(|size| *size > 0).map(size),
            socket_sndbuf: self.socket_sndbuf.filter(|size| *size > 0).map(size),
        }
    }
}

impl Plan {
    /// A rate in bytes a second; 0 is none, and so is what is no rate, with a line in the log.
    #[must_use]
    pub fn rate(value: Option<&Complex>, session: &Session) -> u64 {
        let Some(value) = value else { return 0 };
        let text = value.to_vec(session);
        base::text::parse_size(&text, false).unwrap_or_else(|| {
            log_session!(session, Level::Error, "invalid size \"{}\"", String::from_utf8_lossy(&text));
            0
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_takes_what_it_does_not_say_from_stream() {
        let outer = || Proxy {
            connect_timeout: Some(1),
            timeout: Some(2),
            next: Some(false),
            header: Some(Switch::On(Header::Line)),
            half_close: Some(true),
            socket_rcvbuf: Some(4096),
            responses: Some(3),
            ..Proxy::default()
        };
        let mut silent = Proxy::default();
        silent.inherit(&outer());
        assert_eq!((silent.connect_timeout, silent.timeout, silent.next), (Some(1), Some(2), Some(false)));
        assert_eq!((silent.header, silent.half_close, silent.socket_rcvbuf), (Some(Switch::On(Header::Line)), Some(true), Some(4096)));
        // `off` is a word of its own.
        let mut own = Proxy { header: Some(Switch::Off), timeout: Some(9), responses: Some(0), ..Proxy::default() };
        own.inherit(&outer());
        assert_eq!((own.header, own.timeout, own.responses, own.connect_timeout), (Some(Switch::Off), Some(9), Some(0), Some(1)));
        assert!(own.pass.is_none());
    }

    #[test]
    fn sizes_that_no_memory_has() {
        assert_eq!((size(0), size(16_384), size(u64::MAX)), (0, 16_384, usize::MAX));
    }
}
