//! Opening connections.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use socket2::{SockRef, Socket, Type};
use tokio::net::{TcpSocket, UnixStream};

use crate::address::SocketAddress;
use crate::stream::Stream;

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

/// Connects to `target`.
///
/// # Errors
/// `TimedOut` (without an error number) when `options.timeout` passed; otherwise what socket(2), bind(2) or connect(2)
/// report.
pub async fn connect(target: &SocketAddress, options: Options) -> io::Result<Stream> {
    let connecting = async {
        match target {
            SocketAddress::Internet(address) => {
                let socket = TcpSocket::from_std_stream(prepare(target, options)?.into());
                Ok(Stream::Tcp(socket.connect(*address).await?))
            }
            SocketAddress::Unix(path) => {
                let stream = UnixStream::connect(path).await?;
                set_buffers(SockRef::from(&stream), options)?;
                Ok(Stream::Unix(stream))
            }
        }
    };
    match options.timeout {
        None => connecting.await,
        Some(limit) => tokio::time::timeout(limit, connecting).await.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into())),
    }
}

fn prepare(target: &SocketAddress, options: Options) -> io::Result<Socket> {
    let socket = Socket::new(target.domain(), Type::STREAM.cloexec().nonblocking(), None)?;
    if options.keepalive {
        socket.set_keepalive(true)?;
    }
    // Before the connection, as its window follows from this.
    set_buffers(SockRef::from(&socket), options)?;
    if let Some(local) = options.bind {
        if options.transparent {
            sys::socket::set_transparent(&socket, local.is_ipv6())?;
        }
        if local.port() == 0 {
            // Without it a port would be reserved per local address alone, and 28,000 connections would be the end.
            sys::socket::set_bind_address_no_port(&socket)?;
        } else {
            socket.set_reuse_address(true)?;
        }
        socket.bind(&local.into())?;
    }
    Ok(socket)
}

fn set_buffers(socket: SockRef<'_>, options: Options) -> io::Result<()> {
    if let Some(size) = options.receive_buffer {
        socket.set_recv_buffer_size(size)?;
    }
    if let Some(size) = options.send_buffer {
        socket.set_send_buffer_size(size)?;
    }
    Ok(())
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
        let error = connect(&target, Options::default()).await.unwrap_err();
        assert_eq!(error.raw_os_error(), Some(111));
        let error = connect(&SocketAddress::Unix("/nonexistent.sock".into()), Options::default()).await.unwrap_err();
        assert_eq!(error.raw_os_error(), Some(2));
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
                Err(error) => last = Some(error.kind()),
            }
        }
        assert_eq!(last, Some(io::ErrorKind::TimedOut));
    }
}
