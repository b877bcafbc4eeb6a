//! From a client's first datagram to its protocol: limits, address validation, server name, certificates, ALPN.

use super::{Opened, Protocol, transport, words};
use crate::active::Activity;
use crate::handshake::{count, limited, log, named};
use crate::protocol::{Front, Listener};
use base::clock;
use base::log::Level;
use http::Connection;
use http::connection::Address;
use http::core::default;
use http::metrics::Counter;
use http::quic::Quic;
use http::tls::ClientHello;
use net::quic::{HelloError, Incoming, Reason};
use session::tls::{Failed, choose, finish, preliminary};
use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::net::SocketAddr;
use std::rc::Rc;
use sys::boxed::pinned;
use tls::error::TlsError;
use wire::tls::hello::Hello;

/// `internal_error` (RFC 8446, 6.2).
const INTERNAL_ERROR: u8 = 80;
/// `no_application_protocol` (RFC 7301, 3.2).
const NO_APPLICATION_PROTOCOL: u8 = 120;

/// An unknown client has sent a datagram.
pub(super) fn accept(front: &Rc<Front>, newcomer: Incoming, address: &Address, listen: u32) {
    let Some(peer) = newcomer.peer() else { return };
    let local = match (address, newcomer.local()) {
        (Address::Ip(own), Some(ip)) => Address::Ip(SocketAddr::new(ip, own.port())),
        _ => address.clone(),
    };
    let http = front.worker.http();
    let Some(endpoint) = http.listens.get(listen as usize).and_then(|listen| listen.endpoint(&local)) else { return };
    let server = endpoint.default.clone();
    if newcomer.is_forged() {
        return newcomer.reject_token();
    }
    let must_prove = front.endpoints.is_crowded() || server.conf.share::<Quic>().and_then(|quic| quic.retry).unwrap_or(false);
    if must_prove && !newcomer.is_validated() {
        // Nothing is kept of a client that has not proved its address.
        newcomer.retry();
        return;
    }
    front.worker.observers.connection_came();
    if !front.has_room() {
        return newcomer.refuse();
    }
    front.worker.observers.connection_began();
    let info = Rc::new(Connection {
        id: front.next_id(),
        peer: Address::Ip(peer),
        local,
        requests: Cell::new(0),
        started_ms: clock::now().epoch_ms(),
        tls: RefCell::default(),
        proxy_protocol: RefCell::default(),
    });
    let listener = Listener { http, index: listen, endpoint, server };
    let watch = front.active.enter();
    watch.set_activity(Activity::Fresh);
    let timeout = listener.server.core.client_header_timeout.unwrap_or(default::TIMEOUT);
    watch.read_by(clock::monotonic_ms().saturating_add(timeout));
    // Boxed: tasks are moved when they are made and when they end.
    tokio::task::spawn_local(pinned(|| run(front.clone(), newcomer, Arrival { info, watch, listener })));
}

/// A client before it is accepted.
struct Arrival {
    info: Rc<Connection>,
    watch: crate::active::Entry,
    listener: Listener,
}

async fn run(front: Rc<Front>, newcomer: Incoming, arrival: Arrival) {
    let (info, listener) = (arrival.info.clone(), arrival.listener.clone());
    let handshake = front.endpoints.begin_handshake();
    let result = perform(&front, newcomer, arrival).await;
    drop(handshake);
    match result {
        Ok((opened, protocol)) => (protocol.start)(&front, opened),
        Err(failed) => log(&front, &listener, &info, &failed),
    }
    front.share.note_open(front.open());
}

async fn perform(front: &Rc<Front>, newcomer: Incoming, arrival: Arrival) -> Result<(Opened, Protocol), Failed> {
    let Arrival { info, watch, mut listener } = arrival;
    let hello = match limited(&watch, poll_fn(|cx| newcomer.poll_hello(cx))).await {
        None => return Err(Failed::timed_out()),
        Some(Ok(message)) => Hello::of_message(&message).map_err(Failed::from),
        Some(Err(HelloError::TooLong)) => Err(Failed::from(wire::tls::hello::HelloError::TooLong)),
        Some(Err(HelloError::Crowded)) => return Err(Failed::timed_out()),
        Some(Err(HelloError::Malformed)) => Err(Failed::from(wire::tls::hello::HelloError::Malformed)),
    };
    let hello = match hello {
        Ok(hello) => hello,
        Err(failed) => return Err(reject(newcomer, failed)),
    };
    let transport = transport(&listener.endpoint.default);
    let found = named(&listener, &hello);
    let is_named = found.is_some();
    listener.server = found.unwrap_or_else(|| listener.endpoint.default.clone());
    let spoken: Vec<Protocol> = front.over_quic.iter().filter(|protocol| (protocol.speaks)(&listener.server)).copied().collect();
    if spoken.is_empty() {
        let mut failed = Failed::from(TlsError::new(235, "no application protocol"));
        failed.alert = Some(NO_APPLICATION_PROTOCOL);
        return Err(reject(newcomer, failed));
    }
    let client_hello = client_hello(front, &listener, &info, (hello, is_named), &spoken);
    // Names of certificates may ask for the client's.
    info.tls.replace(Some(Rc::new(preliminary(&client_hello))));
    let settings = match limited(&watch, choose(&client_hello, &listener.endpoint.default)).await {
        None => Err(Failed::timed_out()),
        Some(Err(rejection)) => Err(rejection.into()),
        Some(Ok(settings)) => Ok(settings),
    };
    let settings = match settings {
        Ok(settings) => settings,
        Err(failed) => return Err(reject(newcomer, failed)),
    };
    let connection =
        newcomer.accept(&settings, &transport).map_err(|refused| refused.failed.map_or_else(|| closed(&refused.reason), Failed::from))?;
    match limited(&watch, poll_fn(|cx| connection.poll_begun(cx))).await {
        None => return Err(Failed::timed_out()),
        Some(Err(reason)) => return Err(connection.failure().map_or_else(|| closed(&reason), Failed::from)),
        Some(Ok(())) => {}
    }
    front.log(&listener, &info, Level::Debug, "SSL_do_handshake: 1");
    let found = connection.established().unwrap_or_default();
    let alpn = found.alpn.clone().unwrap_or_default();
    let found = limited(&watch, finish(&client_hello, found)).await.ok_or_else(Failed::timed_out)?;
    count(front, &listener, &listener.server.tls.end(&found));
    front.worker.observers.add(Counter::QuicConnections, 1);
    info.tls.replace(Some(Rc::new(found)));
    match spoken.into_iter().find(|protocol| protocol.alpn.contains(&&*alpn)) {
        Some(protocol) => Ok((Opened { connection, info, watch, listener }, protocol)),
        None => Err(Failed::from(TlsError::INTERNAL)),
    }
}

fn client_hello(
    front: &Rc<Front>,
    listener: &Listener,
    info: &Rc<Connection>,
    (hello, is_named): (Hello, bool),
    spoken: &[Protocol],
) -> Rc<ClientHello> {
    let (worker, shown, client) = (front.worker.clone(), listener.clone(), info.clone());
    Rc::new(ClientHello {
        alpn: spoken.iter().flat_map(|protocol| protocol.alpn.iter().copied()).collect(),
        hello,
        worker: front.worker.common.clone(),
        connection: info.clone(),
        server: listener.server.clone(),
        is_named,
        subject: Box::new(move || worker.spare.take_detached(&worker, &shown.http, client.clone(), shown.server.clone())),
        leftovers: RefCell::default(),
    })
}

/// Tells the client by an alert.
fn reject(newcomer: Incoming, failed: Failed) -> Failed {
    newcomer.reject(failed.alert.unwrap_or(INTERNAL_ERROR));
    failed
}

/// The connection ended before its handshake was over.
fn closed(reason: &Reason) -> Failed {
    words(reason).map_or_else(Failed::closed, Failed::by_peer)
}
