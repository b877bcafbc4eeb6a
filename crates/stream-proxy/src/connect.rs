//! A connection to an upstream server: its socket, the PROXY protocol's header where TLS follows it, TLS.

use crate::header;
use crate::lease::Lease;
use crate::pass::Target;
use crate::record::Record;
use crate::settings::Plan;
use balance::Measure;
use base::log::Level;
use net::address::SocketAddress;
use net::connect::{ConnectFailure, Options};
use net::datagram::Datagram;
use net::stream::Stream;
use socket2::SockRef;
use std::fmt;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;
use stream::{Session, log_session};
use upstream::refusal;
use upstream::secure::handshake::{self, HandshakeError};

/// A way to an upstream server.
pub enum Route {
    /// A connection.
    Stream(Stream),
    /// Datagrams.
    Datagrams(Datagram),
}

/// Why there is no connection; it has been logged.
#[derive(Debug)]
pub enum ConnectError {
    /// The server is to blame: another may be tried.
    Failed,
    /// No server would be better off.
    Internal,
}

impl fmt::Display for ConnectError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            ConnectError::Failed => "the server could not be connected to",
            ConnectError::Internal => "no server could be connected to",
        })
    }
}

impl std::error::Error for ConnectError {}

/// The session, the plan and the server of an attempt.
pub struct Job<'a> {
    /// The session.
    pub session: &'a Rc<Session>,
    /// The server's settings.
    pub plan: &'a Plan,
    /// The tries so far.
    pub record: &'a Record,
    /// Where the session goes.
    pub target: &'a Target,
    /// `proxy_bind`, unless the group's balancer says where from.
    pub local: Option<SocketAddr>,
    /// `proxy_connect_timeout`, milliseconds, unless the balancer says another.
    pub connect_timeout: u64,
    /// `proxy_timeout`, milliseconds, unless the balancer says another.
    pub timeout: u64,
}

impl Job<'_> {
    /// Connects to the leased server.
    ///
    /// # Errors
    /// When there is no connection.
    pub async fn connect(&self, lease: &Lease) -> Result<Route, ConnectError> {
        let address = &lease.peer().server.address;
        let options = Options {
            timeout: Some(Duration::from_millis(self.connect_timeout)),
            bind: self.local,
            transparent: self.plan.bind.as_ref().is_some_and(|bind| bind.transparent),
            keepalive: self.plan.socket_keepalive,
            receive_buffer: self.plan.socket_rcvbuf,
            send_buffer: self.plan.socket_sndbuf,
        };
        let way = match self.session.is_udp() {
            true => Route::Datagrams(Datagram::connect(address, options).map_err(|failure| self.refused(address, &failure))?),
            false => {
                let stream = net::connect::connect(address, options).await.map_err(|failure| self.refused(address, &failure))?;
                Route::Stream(self.prepare(lease, stream).await?)
            }
        };
        self.connected(lease, &way);
        Ok(way)
    }

    fn refused(&self, address: &SocketAddress, failure: &ConnectFailure) -> ConnectError {
        let (level, line) = refusal::line(address, failure);
        self.session.log(level, line.as_bytes());
        match failure {
            ConnectFailure::Local { .. } => ConnectError::Internal,
            ConnectFailure::Peer(_) => ConnectError::Failed,
        }
    }

    async fn prepare(&self, lease: &Lease, stream: Stream) -> Result<Stream, ConnectError> {
        if self.session.core().tcp_nodelay.unwrap_or(true) {
            // It may be closed already.
            let _ = stream.set_no_delay(true);
        }
        let Some(secured) = &self.plan.secure else { return Ok(stream) };
        if let Some(kind) = self.plan.header {
            let mut head = Vec::new();
            header::push(kind, self.session, &mut head);
            // A new connection takes so few bytes at once, as the protocol demands.
            if !stream.try_write(&head).is_ok_and(|count| count == head.len()) {
                self.session.log(Level::Error, b"could not send PROXY protocol header at once");
                return Err(ConnectError::Internal);
            }
            self.record.sent.set(head.len() as u64);
        }
        let Some(url) = self.target.url.as_ref().or(self.plan.pass.url.as_ref()) else { return Err(ConnectError::Internal) };
        let target = secured.target(self.session, url, self.target.url.is_some(), None);
        self.session.action.set("SSL handshaking to upstream");
        let limit = Duration::from_millis(self.connect_timeout);
        let server = [&*self.target.upstream.name, &*lease.peer().server.name];
        let result = handshake::perform(self.session, secured, &target, &server, stream, limit).await;
        result.map_err(|fault| match fault {
            HandshakeError::Internal => ConnectError::Internal,
            HandshakeError::Server => ConnectError::Failed,
            HandshakeError::TimedOut => {
                self.session.log(Level::Error, refusal::TIMED_OUT.as_bytes());
                ConnectError::Failed
            }
        })
    }

    fn connected(&self, lease: &Lease, way: &Route) {
        if self.session.log_enabled(Level::Info) {
            let udp = if self.session.is_udp() { "udp " } else { "" };
            let line = format!("{udp}proxy {} connected to {}", way.local(), lease.peer().server.name);
            self.session.error_log().write(Level::Info, self.session.connection.id, line.as_bytes());
        }
        if let Route::Stream(_) = way {
            lease.connected();
        }
        let after_ms = self.record.connected();
        lease.measure(Measure::Connect, after_ms);
        log_session!(self.session, Level::Debug, "stream proxy connected");
    }
}

impl Route {
    /// Our end, as the log shows it.
    fn local(&self) -> String {
        let address = match self {
            Route::Stream(stream) => {
                let ours = stream.descriptor().and_then(|socket| SockRef::from(&socket).local_addr());
                ours.ok().and_then(|address| address.as_socket())
            }
            Route::Datagrams(Datagram::Udp(socket)) => socket.local_addr().ok(),
            Route::Datagrams(Datagram::Unix(_)) => None,
        };
        address.map_or_else(|| "unix:".to_owned(), |address| address.to_string())
    }
}
