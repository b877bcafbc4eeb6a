//! The client's side of a request: who it is, and the wire to it.

use crate::chain::Chain;
use crate::headers::Headers;
use crate::request::Request;
use crate::tls::TlsInfo;
use std::cell::{Cell, RefCell};
use std::io;
use std::net::SocketAddr;
use std::os::fd::BorrowedFd;
use std::path::PathBuf;
use std::rc::Rc;
use std::task::{Context, Poll};

/// An address as nginx shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Address {
    /// IPv4 or IPv6.
    Ip(SocketAddr),
    /// A unix socket; clients have no path.
    Unix(Option<PathBuf>),
}

impl Address {
    /// `$remote_addr`: the address without port, `unix:` for unix sockets.
    pub fn push_host(&self, out: &mut Vec<u8>) {
        if let Address::Ip(SocketAddr::V4(address)) = self {
            // The usual case, on the way of every request that a proxy forwards: no formatting machinery.
            for (i, octet) in address.ip().octets().into_iter().enumerate() {
                if i > 0 {
                    out.push(b'.');
                }
                base::text::push_number(out, u64::from(octet));
            }
            return;
        }
        use std::io::Write;
        // Writing to a Vec cannot fail.
        let _ = match self {
            Address::Ip(address) => match address.ip().to_canonical() {
                // A mapped address is a v4 client on a dual-stack socket; nginx shows it as it is.
                ip if address.is_ipv6() && ip.is_ipv4() => write!(out, "::ffff:{ip}"),
                ip => write!(out, "{ip}"),
            },
            Address::Unix(_) => write!(out, "unix:"),
        };
    }

    /// The address with its port, `unix:` and the path for unix sockets: as `listen` writes it.
    pub fn push_whole(&self, out: &mut Vec<u8>) {
        use std::io::Write;
        // Writing to a Vec cannot fail.
        let _ = match self {
            Address::Ip(address) => write!(out, "{address}"),
            Address::Unix(path) => write!(out, "unix:{}", path.as_deref().unwrap_or_else(|| "".as_ref()).display()),
        };
    }

    /// The port; `None` for unix sockets.
    pub fn port(&self) -> Option<u16> {
        match self {
            Address::Ip(address) => Some(address.port()),
            Address::Unix(_) => None,
        }
    }
}

/// What a PROXY protocol header says of the client's connection to the balancer.
#[derive(Debug)]
pub struct Proxied {
    /// The client.
    pub client: SocketAddr,
    /// The address that the client connected to.
    pub server: SocketAddr,
    /// The records of version 2, for `wire::proxy_protocol::find`.
    pub tlvs: Box<[u8]>,
}

/// What is known of a client's connection. One exists per connection, whatever the protocol on it.
pub struct Connection {
    /// `$connection`: a number unique in the process.
    pub id: u64,
    /// The client as the kernel sees it. What a request makes of it is [`Request::client`].
    pub peer: Address,
    /// Our end.
    pub local: Address,
    /// Requests so far, the current one included. Which of them a request is says [`Request::number`].
    pub requests: Cell<u64>,
    /// When it was accepted, in milliseconds since the epoch.
    pub started_ms: u64,
    /// What TLS on it found; nothing without TLS, and before the handshake.
    pub tls: RefCell<Option<Rc<TlsInfo>>>,
    /// What a PROXY protocol header said.
    pub proxy_protocol: RefCell<Option<Rc<Proxied>>>,
}

impl Connection {
    /// Whether it is over TLS.
    pub fn is_tls(&self) -> bool {
        self.tls.borrow().is_some()
    }

    /// What TLS on it found.
    pub fn tls_info(&self) -> Option<Rc<TlsInfo>> {
        self.tls.borrow().clone()
    }
}

/// Why a request body could not be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BodyError {
    /// The client went away.
    Closed,
    /// No byte for `client_body_timeout`.
    TimedOut,
    /// Broken chunk framing.
    Invalid,
}

/// Progress of reading a request body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BodyRead {
    /// This many bytes were appended.
    Data(usize),
    /// The whole body has been delivered.
    End,
}

/// The wire below a request: HTTP/1, HTTP/2, HTTP/3, or the collector of a subrequest.
///
/// Framing is the implementor's affair: it decided at the head between length, chunks and close.
pub trait Downstream {
    /// Sends the head; the response's filters have run.
    fn write_head(&self, request: &Request);

    /// Appends body bytes; short ones are gathered.
    fn write(&self, request: &Request, data: &[u8]);

    /// Appends body data, with marks.
    fn write_chain(&self, request: &Request, chain: Chain);

    /// Sends an informational response such as 100 or 103 before the head.
    /// Nothing, where no client waits.
    fn write_interim(&self, request: &Request, status: u16, headers: &Headers) {
        let _ = (request, status, headers);
    }

    /// Bytes that are waiting to be sent; none, where the answer stays in memory.
    fn queued(&self) -> u64 {
        0
    }

    /// Whether the client lets nothing more be sent now, so that what waits may wait for long.
    fn is_held_up(&self) -> bool {
        false
    }

    /// Sends until at most `below` bytes wait.
    ///
    /// # Errors
    /// The client is gone, or `send_timeout` passed.
    fn poll_drain(&self, cx: &mut Context<'_>, below: u64) -> Poll<io::Result<()>> {
        let _ = (cx, below);
        Poll::Ready(Ok(()))
    }

    /// Appends decoded request body bytes to `out`, at most about `limit`. A subrequest has no body of its own.
    fn poll_body(&self, cx: &mut Context<'_>, request: &Request, out: &mut Vec<u8>, limit: usize) -> Poll<Result<BodyRead, BodyError>> {
        let _ = (cx, request, out, limit);
        Poll::Ready(Ok(BodyRead::End))
    }

    /// Whether the part of the request's body that has arrived and that nobody has taken cannot be one.
    fn has_bad_body(&self) -> bool {
        false
    }

    /// Ready once the client has closed its connection or stream.
    fn poll_gone(&self, cx: &mut Context<'_>) -> Poll<()> {
        let _ = cx;
        Poll::Pending
    }

    /// Raw access to the connection after a 101 or 2xx to CONNECT; `None` where the protocol has no such thing.
    fn tunnel(&self, request: &Request) -> Option<Rc<dyn crate::tunnel::Tunnel>> {
        let _ = request;
        None
    }

    /// Whether writing has failed: nothing that is sent now arrives.
    fn is_broken(&self) -> bool {
        false
    }

    /// Runs `f` on the connection's descriptor; not where many requests share one.
    fn with_descriptor(&self, f: &mut dyn FnMut(BorrowedFd<'_>)) {
        let _ = f;
    }

    /// For front ends that need more than this contract (raw sockets, trailers).
    fn as_any(&self) -> &dyn std::any::Any;
}

/// A shared wire.
pub type Wire = Rc<dyn Downstream>;
