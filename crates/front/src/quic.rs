//! QUIC below HTTP: the sockets of `listen … quic`, their new clients, and the table of protocols that are spoken over it.
//!
//! A protocol joins with a value of [`Protocol`] and one line in the binary's list, as those of connections do.

pub(crate) mod endpoints;
mod handshake;

use crate::protocol::Front;
pub use crate::protocol::{AcceptedQuic as Opened, QuicProtocol as Protocol};
use base::errno::describe;
use base::log::Level;
use http::connection::Address;
use http::core::default;
use http::metrics::Counter;
use http::quic::Quic;
use http::{Connection, Server};
use net::quic::{Endpoint, Limits, QuicEvent, Reason, Setup, Transport};
use std::cell::RefCell;
use std::os::fd::OwnedFd;
use std::rc::Rc;
use std::time::Duration;

/// `quic_active_connection_id_limit`
const ID_LIMIT: u64 = 2;
/// `http3_stream_buffer_size`
const STREAM_BUFFER: u64 = 64 * 1024;
/// `http3_max_concurrent_streams`
const STREAMS: u64 = 128;
/// Streams of one direction: HTTP/3 needs three (RFC 9114, 6.2).
const UNI_STREAMS: u64 = 3;

/// How long receiving rests when it fails.
const REST: Duration = Duration::from_millis(100);

/// The log message for a connection that ended in this way; `None` if either end closed it regularly.
pub(crate) fn words(reason: &Reason) -> Option<String> {
    match reason {
        Reason::Idle => Some("quic client timed out (110: Connection timed out)".to_owned()),
        Reason::Broken { code, words } => Some(format!("quic error:{code} reason:\"{words}\"")),
        Reason::Reset => Some("quic stateless reset packet detected".to_owned()),
        Reason::Peer { .. } | Reason::Local => None,
    }
}

/// What is known of a client that has moved to another address, which it keeps from now on; `None`: it has not.
pub fn moved(connection: &net::quic::Connection, info: &Connection) -> Option<Rc<Connection>> {
    let peer = Address::Ip(connection.peer());
    (peer != info.peer).then(|| {
        Rc::new(Connection {
            id: info.id,
            peer,
            local: info.local.clone(),
            requests: info.requests.clone(),
            started_ms: info.started_ms,
            tls: info.tls.clone(),
            proxy_protocol: RefCell::default(),
        })
    })
}

/// Serves a socket until the worker ends.
pub(crate) fn receive(front: &Rc<Front>, fd: OwnedFd, listen: u32) {
    let http = front.worker.http();
    let Some(own) = http.listens.get(listen as usize) else { return };
    let Some((_, last)) = own.endpoints.last() else { return };
    let quic = last.default.conf.share::<Quic>().unwrap_or_default();
    // A server with a certificate has one.
    let Some(key) = quic.key.get().cloned() else { return };
    let (segments, proves) = (quic.gso.unwrap_or(false), quic.retry.unwrap_or(false));
    // One byte of a connection ID names the socket: beyond 256 workers, those that share a number forward to each other.
    let [socket, ..] = front.worker.common.number.to_le_bytes();
    let setup = Setup { key, socket, process: process(), segments, proves, steers: true };
    let worker = front.worker.clone();
    let count = move |what, times| worker.observers.add(counter(what), times);
    match Endpoint::new(fd, setup, Rc::new(count)) {
        Ok(endpoint) => {
            front.endpoints.add(endpoint.clone());
            let (leaving, succeeding) = (endpoint.clone(), endpoint.clone());
            front.worker.on_exiting(move || leaving.hand_over());
            tokio::task::spawn_local(async move { succeeding.succeed().await });
            tokio::task::spawn_local(run(front.clone(), endpoint, own.address.clone(), listen));
        }
        Err(error) => base::log!(front.worker.log, Level::Emerg, 0, "socket of \"listen ... quic\" failed {}", describe(&error)),
    }
}

fn counter(what: QuicEvent) -> Counter {
    match what {
        QuicEvent::Received => Counter::QuicReceived,
        QuicEvent::Passed => Counter::QuicPassed,
        QuicEvent::Dropped => Counter::QuicDropped,
        QuicEvent::Retry => Counter::QuicRetries,
        QuicEvent::Sent => Counter::QuicSent,
        QuicEvent::Lost => Counter::QuicLost,
    }
}

/// A number for this process that no other one has.
fn process() -> u32 {
    let mut bytes = [0; 4];
    tls::quic::fill_random(&mut bytes);
    u32::from_be_bytes(bytes)
}

async fn run(front: Rc<Front>, endpoint: Endpoint, address: Address, listen: u32) {
    loop {
        let came = |newcomer| handshake::accept(&front, newcomer, &address, listen);
        if let Err(error) = endpoint.run(came).await {
            base::log!(front.worker.log, Level::Alert, 0, "recvmmsg() failed {}", describe(&error));
            // What is wrong may last, and must neither keep the loop turning nor fill the log.
            net::time::sleep(REST).await;
        }
    }
}

/// What connections of a server's clients may use. The idle timeout is that of connections which are kept for further requests.
fn transport(server: &Server) -> Transport {
    let quic = server.conf.share::<Quic>().unwrap_or_default();
    Transport::new(&Limits {
        idle_ms: server.own.core.keepalive_timeout.unwrap_or(default::KEEPALIVE_TIMEOUT),
        streams: quic.max_streams.unwrap_or(STREAMS),
        uni: UNI_STREAMS,
        stream_buffer: quic.stream_buffer.unwrap_or(STREAM_BUFFER),
        ids: quic.id_limit.unwrap_or(ID_LIMIT),
        segments: quic.gso.unwrap_or(false),
    })
}
