//! A UDP socket that serves QUIC.

use std::cell::{Cell, RefCell};
use std::fmt;
use std::io;
use std::os::fd::OwnedFd;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use quinn_proto::EndpointConfig;
use socket2::SockRef;
use sys::udp::{UdpOptions, attach_steering, can_segment, prepare};
use tls::quic::HostKey;

use super::counters::CountFn;
use super::crypto::{Crypto, VERSION};
use super::drive::Driver;
use super::forward::Forwarder;
use super::ids::{self, Ids};
use super::incoming::Incoming;
use super::shared::{Shared, Tokens, server_config};
use super::tokens::TokenKey;

/// The longest datagram.
const LONGEST: u16 = 65_527;

/// Datagrams that the kernel makes of one transmission, at most: so many fit into what it takes.
const SEGMENTS: usize = 32;

/// How often a process looks whether its predecessor has left.
const SUCCESSION: Duration = Duration::from_millis(50);

/// Turns of the event loop in which last words leave.
const FLUSHES: usize = 16;

/// What an endpoint needs.
#[derive(Debug, Clone)]
pub struct Setup {
    /// The secrets that all processes of a listener share.
    pub key: HostKey,
    /// Which socket of its group it is.
    pub socket: u8,
    /// The number of the process.
    pub process: u32,
    /// The kernel may cut what is sent into datagrams.
    pub segments: bool,
    /// Clients prove their addresses, and get tokens by which they need not do so the next time.
    pub proves: bool,
    /// Other processes have sockets of the same address, and the kernel chooses among them by connection IDs.
    pub steers: bool,
}

/// A socket that serves QUIC.
#[derive(Clone)]
pub struct Endpoint {
    shared: Rc<Shared>,
}

impl fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Endpoint").field("open", &self.shared.open()).finish_non_exhaustive()
    }
}

impl Endpoint {
    /// An endpoint on a bound, non-blocking UDP socket; `count` counts its events.
    ///
    /// # Errors
    /// What getsockname(2) or epoll_ctl(2) report.
    pub fn new(socket: OwnedFd, setup: Setup, count: CountFn) -> io::Result<Self> {
        let address = SockRef::from(&socket).local_addr()?.as_socket().ok_or(io::ErrorKind::Unsupported)?;
        let whole = prepare(&socket, address.is_ipv6(), UdpOptions { gathers: true, complete: true });
        let passing = Forwarder::new(&setup.key, address, setup.process, setup.socket)?;
        if setup.steers {
            // Without it datagrams come to other processes more often, which pass them on.
            let _ = attach_steering(&socket, ids::LENGTH, ids::multiplier(setup.key.ids()));
        }
        let segments = if setup.segments && can_segment(&socket) { SEGMENTS } else { 1 };
        let mut config = EndpointConfig::new(Arc::new(setup.key.reset()));
        let ids = Ids { key: setup.key.ids(), socket: setup.socket, process: setup.process };
        config.cid_generator(move || Box::new(ids)).supported_versions(vec![VERSION]).grease_quic_bit(false);
        // Any size is received, so that this cannot fail.
        let _ = config.max_udp_payload_size(LONGEST);
        let tokens = Tokens { key: Arc::new(TokenKey::new(&setup.key)), used: setup.proves.then(Arc::default) };
        let server = server_config(Crypto::placeholder(), tokens.clone());
        let quic = quinn_proto::Endpoint::new(Arc::new(config), Some(Arc::new(server)), whole, None);
        let shared = Shared {
            socket: sys::watch::readable_and_writable(socket)?,
            quic: RefCell::new(quic),
            tokens,
            segments: Cell::new(segments),
            connections: RefCell::default(),
            queue: Rc::default(),
            timers: RefCell::default(),
            outbox: RefCell::default(),
            initials: RefCell::default(),
            order: RefCell::default(),
            ids,
            passing,
            count,
            leaving: Cell::new(false),
        };
        Ok(Self { shared: Rc::new(shared) })
    }

    /// The socket's address.
    ///
    /// # Errors
    /// What getsockname(2) reports.
    #[cfg(test)]
    pub(crate) fn local_address(&self) -> io::Result<std::net::SocketAddr> {
        SockRef::from(self.shared.socket.get_ref()).local_addr()?.as_socket().ok_or_else(|| io::ErrorKind::Unsupported.into())
    }

    /// How many connections there are, those included that are closed and wait for late packets.
    #[must_use]
    pub fn open(&self) -> usize {
        self.shared.open()
    }

    /// Leaves new clients to a process that takes over; connections go on.
    pub fn hand_over(&self) {
        self.shared.leaving.set(true);
        self.shared.passing.leave_place();
    }

    /// Waits until new clients that the predecessor leaves to others come here.
    pub async fn succeed(&self) {
        while !self.shared.leaving.get() && !self.shared.passing.take_place() {
            crate::time::sleep(SUCCESSION).await;
        }
        self.shared.queue.wake();
    }

    /// Lets the task send what connections have said last. It only waits for the task's turn, not for the network.
    pub async fn flush(&self) {
        for _ in 0..FLUSHES {
            if self.shared.queue.len() == 0 {
                return;
            }
            self.shared.queue.wake();
            tokio::task::yield_now().await;
        }
    }

    /// Serves the socket: the task that all connections need. New clients go to `came`.
    ///
    /// # Errors
    /// The event loop is gone, or what recvmmsg(2) reports; call again to go on.
    pub async fn run(&self, came: impl Fn(Incoming)) -> io::Result<()> {
        Driver::new(self.shared.clone(), came).run().await
    }
}
