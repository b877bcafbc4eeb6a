//! Opening connections.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use socket2::{SockAddr, SockRef, Socket, Type};
use tokio::net::TcpStream;

use crate::address::SocketAddress;
use crate::stream::{Stream, Transport};

/// "Operation now in progress".
const EINPROGRESS: i32 = 115;

/// How a connection is opened.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Options {
    /// Longest time to wait; `None` leaves it to the kernel.
    pub timeout: Option<Duration>,
    /// Local address (`proxy_bind`); port 0 lets the kernel choose at connect time.
    pub bind: Option<SocketAddr>,
    /// Whether `bind` may be an address of another machine, ip(7) `IP_TRANSPARENT`.
    pub transparent: bool,
    /// `SO_KEEPALIVE` (`proxy_socket_keepalive`).
    pub keepalive: bool,
    /// `SO_RCVBUF` (`proxy_socket_rcvbuf`), bytes.
    pub receive_buffer: Option<usize>,
    /// `SO_SNDBUF` (`proxy_socket_sndbuf`), bytes.
    pub send_buffer: Option<usize>,
}

/// Why there is no connection.
#[derive(Debug)]
pub enum ConnectFailure {
    /// The socket could not be made as it is wanted: no other server would be better off.
    Local {
        /// The call, in nginx's words.
        call: String,
        /// What it reported.
        error: io::Error,
    },
    /// The peer or the way to it; `TimedOut` (without an error number) when `timeout` of the options passed.
    Peer(io::Error),
}

impl ConnectFailure {
    /// The underlying error.
    #[must_use]
    pub fn error(&self) -> &io::Error {
        match self {
            ConnectFailure::Local { error, .. } | ConnectFailure::Peer(error) => error,
        }
    }

    fn of(call: impl Into<String>) -> impl FnOnce(io::Error) -> ConnectFailure {
        let call = call.into();
        |error| ConnectFailure::Local { call, error }
    }
}

/// An address as the log shows it: with its port, if it has one.
fn display(address: SocketAddr) -> String {
    match address.port() {
        0 => address.ip().to_string(),
        _ => address.to_string(),
    }
}

impl fmt::Display for ConnectFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ConnectFailure::Local { call, error } => write!(f, "{call} failed {}", base::errno::describe(error)),
            ConnectFailure::Peer(error) => write!(f, "connect() failed {}", base::errno::describe(error)),
        }
    }
}

impl From<ConnectFailure> for io::Error {
    fn from(failure: ConnectFailure) -> io::Error {
        match failure {
            ConnectFailure::Local { error, .. } | ConnectFailure::Peer(error) => error,
        }
    }
}

/// Connects to `target`.
///
/// # Errors
/// What socket(2), bind(2) or connect(2) report, or that it took too long.
pub async fn connect(target: &SocketAddress, options: Options) -> Result<Stream, ConnectFailure> {
    let socket = prepare(target, options, Type::STREAM)?;
    let begun = match target {
        SocketAddress::Internet(address) => begin(&socket, *address),
        // It stands at once or not at all, unix(7): nobody has to wait for it.
        SocketAddress::Unix(path) => SockAddr::unix(path).and_then(|path| socket.connect(&path)).map(|()| true),
    };
    if begun.map_err(ConnectFailure::Peer)? {
        let transport = if matches!(target, SocketAddress::Unix(_)) { Transport::Unix } else { Transport::Tcp };
        return Ok(Stream::connected(socket.into(), transport));
    }
    let connecting = async {
        let stream = TcpStream::from_std(socket.into())?;
        stream.writable().await?;
        stream.take_error()?.map_or(Ok(Stream::Tcp(stream)), Err)
    };
    let connected = match options.timeout {
        None => connecting.await,
        Some(limit) => crate::time::timeout(limit, connecting).await.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into())),
    };
    connected.map_err(ConnectFailure::Peer)
}

/// Begins to connect; true if the connection stands. One within the machine mostly does when the call that began it has returned, though
/// that says otherwise: a look saves a turn of the event loop and the timer for it. What failed is found out by who waits.
fn begin(socket: &Socket, address: SocketAddr) -> io::Result<bool> {
    match socket.connect(&address.into()) {
        Ok(()) => Ok(true),
        Err(error) if error.raw_os_error() == Some(EINPROGRESS) => Ok(address.ip().is_loopback() && sys::socket::is_connected(socket)),
        Err(error) => Err(error),
    }
}

/// A socket of this type that is not connected yet.
pub(crate) fn prepare(target: &SocketAddress, options: Options, kind: Type) -> Result<Socket, ConnectFailure> {
    let socket = Socket::new(target.domain(), kind.cloexec().nonblocking(), None).map_err(ConnectFailure::of("socket()"))?;
    if options.keepalive {
        // As with nginx, a connection without it is better than none.
        let _ = socket.set_keepalive(true);
    }
    // Before the connection, as its window follows from this.
    set_buffers(SockRef::from(&socket), options);
    if let Some(local) = options.bind {
        if options.transparent {
            sys::socket::set_transparent(&socket, local.is_ipv6()).map_err(ConnectFailure::of("setsockopt(IP_TRANSPARENT)"))?;
        }
        if local.port() != 0 {
            socket.set_reuse_address(true).map_err(ConnectFailure::of("setsockopt(SO_REUSEADDR)"))?;
        } else if kind == Type::STREAM && matches!(target, SocketAddress::Internet(_)) {
            // Without it a port would be reserved per local address alone, and 28,000 connections would be the end.
            sys::socket::set_bind_address_no_port(&socket).map_err(ConnectFailure::of("setsockopt(IP_BIND_ADDRESS_NO_PORT)"))?;
        }
        socket.bind(&local.into()).map_err(ConnectFailure::of(format!("bind({})", display(local))))?;
    }
    Ok(socket)
}

/// Sizes that the kernel refuses are passed over, as with nginx.
fn set_buffers(socket: SockRef<'_>, options: Options) {
    if let Some(size) = options.receive_buffer {
        let _ = socket.set_recv_buffer_size(size);
    }
    if let Some(size) = options.send_buffer {
        let _ = socket.set_send_buffer_size(size);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;

    #[tokio::test]
    async fn connects_from_the_bound_address() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let target = SocketAddress::Internet(listener.local_addr().unwrap());
        let options = Options { bind: Some("127.0.0.2:0".parse().unwrap()), ..Options::default() };
        let _stream = connect(&target, options).await.unwrap();
        let (_, peer) = listener.accept().unwrap();
        assert_eq!(peer.ip().to_string(), "127.0.0.2");
    }

    #[tokio::test]
    async fn buffers_have_the_size_asked_for() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let path = std::env::temp_dir().join(format!("lunette-connect-{}", std::process::id()));
        let _unix = std::os::unix::net::UnixListener::bind(&path).unwrap();
        for target in [SocketAddress::Internet(listener.local_addr().unwrap()), SocketAddress::Unix(path.clone())] {
            let options = Options { receive_buffer: Some(20_000), send_buffer: Some(30_000), ..Options::default() };
            let stream = connect(&target, options).await.unwrap();
            let descriptor = stream.descriptor().unwrap();
            let socket = SockRef::from(&descriptor);
            // The kernel doubles them for its own needs.
            assert_eq!((socket.recv_buffer_size().unwrap(), socket.send_buffer_size().unwrap()), (40_000, 60_000));
        }
        std::fs::remove_file(path).unwrap();
    }

    #[tokio::test]
    async fn a_refusal_carries_the_kernels_number() {
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let target = SocketAddress::Internet(SocketAddr::from(([127, 0, 0, 1], port)));
        let failure = connect(&target, Options::default()).await.unwrap_err();
        assert!(matches!(&failure, ConnectFailure::Peer(error) if error.raw_os_error() == Some(111)), "{failure}");
        let failure = connect(&SocketAddress::Unix("/nonexistent.sock".into()), Options::default()).await.unwrap_err();
        assert!(matches!(&failure, ConnectFailure::Peer(error) if error.raw_os_error() == Some(2)), "{failure}");
    }

    #[tokio::test]
    async fn an_address_of_another_machine_is_told_from_a_refusal() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let target = SocketAddress::Internet(listener.local_addr().unwrap());
        for (bind, shown) in [("192.0.2.1:0", "192.0.2.1"), ("192.0.2.1:7", "192.0.2.1:7")] {
            let options = Options { bind: Some(bind.parse().unwrap()), ..Options::default() };
            let line = format!("bind({shown}) failed (99: Cannot assign requested address)");
            let failure = connect(&target, options).await.unwrap_err();
            assert!(matches!(&failure, ConnectFailure::Local { .. }));
            assert_eq!(failure.to_string(), line);
            let failure = crate::datagram::Datagram::connect(&target, options).unwrap_err();
            assert_eq!(failure.to_string(), line);
        }
    }

    #[tokio::test]
    async fn a_full_queue_times_out() {
        let listener = Socket::new(socket2::Domain::IPV4, Type::STREAM, None).unwrap();
        listener.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into()).unwrap();
        listener.listen(0).unwrap();
        let target = SocketAddress::from_socket(&listener.local_addr().unwrap()).unwrap();
        let options = Options { timeout: Some(Duration::from_millis(50)), ..Options::default() };
        let mut kept = Vec::new();
        let mut last = None;
        for _ in 0..10 {
            match connect(&target, options).await {
                Ok(stream) => kept.push(stream),
                Err(failure) => last = Some(failure.error().kind()),
            }
        }
        assert_eq!(last, Some(io::ErrorKind::TimedOut));
    }
}
