//! A client that has not been accepted yet.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::rc::{Rc, Weak};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Instant;

use quinn_proto::{self as proto, TransportErrorCode};
use tls::quic::Failed;
use tls::server::Settings;
use wire::quic::Header;

use super::connection::Connection;
use super::counters::QuicEvent;
use super::crypto::{Answer, Crypto};
use super::event::Reason;
use super::initial::{HelloError, InitialReader};
use super::parameters::Transport;
use super::shared::Shared;
use super::state::State;

/// A client that was not accepted; it has been told.
#[derive(Debug)]
pub struct Rejected {
    /// What is wrong with its handshake, if that is why.
    pub failed: Option<Failed>,
    /// Why.
    pub reason: Reason,
}

/// A client whose first datagram came. Dropped, it is ignored.
pub struct Incoming {
    shared: Rc<Shared>,
    incoming: Option<proto::Incoming>,
    initial: Rc<InitialReader>,
    forged: bool,
}

impl fmt::Debug for Incoming {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Incoming").field("incoming", &self.incoming).finish_non_exhaustive()
    }
}

impl Incoming {
    pub(super) fn new(shared: Rc<Shared>, incoming: proto::Incoming, datagram: &[u8], forged: bool) -> Self {
        let held = Rc::new(InitialReader::new(datagram));
        if !held.is_whole() {
            shared.hold(&held);
        }
        Self { shared, incoming: Some(incoming), initial: held, forged }
    }

    /// Gives a datagram to the newcomer that it belongs to. False: none waits for it.
    pub(super) fn feed(shared: &Shared, datagram: &[u8]) -> bool {
        let waiting = shared.initials.borrow();
        if waiting.is_empty() {
            return false;
        }
        let header = Header::parse(datagram, 0).filter(Header::is_initial);
        let Some(held) = header.and_then(|header| waiting.get(header.destination())).and_then(Weak::upgrade) else { return false };
        held.feed(datagram);
        true
    }

    /// Its address.
    #[must_use]
    pub fn peer(&self) -> Option<SocketAddr> {
        self.incoming.as_ref().map(proto::Incoming::remote_address)
    }

    /// The address of ours that it writes to, if the socket tells.
    #[must_use]
    pub fn local(&self) -> Option<IpAddr> {
        self.incoming.as_ref()?.local_ip()
    }

    /// Whether it has proved that its address is its own, by the token of a Retry packet.
    #[must_use]
    pub fn is_validated(&self) -> bool {
        self.incoming.as_ref().is_some_and(proto::Incoming::remote_address_validated)
    }

    /// Whether it has brought a token that none of our processes has made.
    #[must_use]
    pub fn is_forged(&self) -> bool {
        self.forged
    }

    /// Its ClientHello, once that is whole: the handshake message with its header.
    pub fn poll_hello(&self, cx: &mut Context<'_>) -> Poll<Result<Vec<u8>, HelloError>> {
        match &*self.initial.hello.borrow() {
            Err(error) => return Poll::Ready(Err(*error)),
            Ok(stream) => {
                if let Some(message) = stream.message() {
                    return Poll::Ready(Ok(message.to_vec()));
                }
            }
        }
        *self.initial.waker.borrow_mut() = Some(cx.waker().clone());
        Poll::Pending
    }

    /// Makes a connection of it.
    ///
    /// # Errors
    /// Its first packets are no good, or its handshake fails at once.
    pub fn accept(self, settings: &Settings, transport: &Transport) -> Result<Connection, Rejected> {
        let answer = Answer::Settings(Box::new(settings.clone()));
        self.answer(Crypto { answer, parameters: Some(transport.parameters), failed: Arc::default() }, Some(transport))
    }

    /// Refuses its handshake with an alert of TLS.
    pub fn reject(self, alert: u8) {
        self.give_up(Crypto::refusing(TransportErrorCode::crypto(alert)));
    }

    /// Refuses its token (RFC 9000, 20.1).
    pub fn reject_token(self) {
        self.give_up(Crypto::refusing(TransportErrorCode::INVALID_TOKEN));
    }

    fn give_up(self, crypto: Crypto) {
        // The session that only knows the code never becomes a connection.
        drop(self.answer(crypto, None));
    }

    fn answer(mut self, crypto: Crypto, transport: Option<&Transport>) -> Result<Connection, Rejected> {
        let shared = self.shared.clone();
        let failed = crypto.failed.clone();
        let mut config = shared.server_config(crypto);
        if let Some(transport) = transport {
            config.transport_config(transport.config.clone());
        }
        let Some(incoming) = self.incoming.take() else { return Err(Rejected { failed: None, reason: Reason::Local }) };
        let mut buffer = shared.outbox.borrow_mut().buffer();
        let accepted = shared.quic.borrow_mut().accept(incoming, Instant::now(), &mut buffer, Some(Arc::new(config)));
        match accepted {
            Ok((handle, quic)) => {
                shared.outbox.borrow_mut().put_back(buffer);
                let streams = transport.and_then(|transport| transport.streams);
                let state = Rc::new(State::new(quic, handle, shared.queue.clone(), failed, streams));
                shared.enter(&state);
                shared.service(&state);
                shared.queue.kick(&state);
                Ok(Connection::new(state))
            }
            Err(error) => {
                match error.response {
                    Some(transmit) if shared.has_room() => shared.outbox.borrow_mut().push(buffer, transmit),
                    _ => shared.outbox.borrow_mut().put_back(buffer),
                }
                shared.queue.wake();
                Err(Rejected { failed: failed.get().cloned(), reason: error.cause.into() })
            }
        }
    }

    /// Asks it to prove its address by coming again. False: it has done so already.
    pub fn retry(mut self) -> bool {
        let shared = self.shared.clone();
        let Some(incoming) = self.incoming.take() else { return false };
        if !incoming.may_retry() {
            self.incoming = Some(incoming);
            return false;
        }
        let mut buffer = shared.outbox.borrow_mut().buffer();
        let made = shared.quic.borrow_mut().retry(incoming, &mut buffer);
        match made {
            Ok(transmit) if shared.has_room() => shared.outbox.borrow_mut().push(buffer, transmit),
            Ok(_) => {}
            Err(error) => self.incoming = Some(error.into_incoming()),
        }
        shared.queue.wake();
        (shared.count)(QuicEvent::Retry, u64::from(self.incoming.is_none()));
        self.incoming.is_none()
    }

    /// Tells it that it is not served now.
    pub fn refuse(mut self) {
        let Some(incoming) = self.incoming.take() else { return };
        let mut buffer = self.shared.outbox.borrow_mut().buffer();
        let transmit = self.shared.quic.borrow_mut().refuse(incoming, &mut buffer);
        if self.shared.has_room() {
            self.shared.outbox.borrow_mut().push(buffer, transmit);
            self.shared.queue.wake();
        }
    }
}

impl Drop for Incoming {
    fn drop(&mut self) {
        self.shared.release(&self.initial);
        if let Some(incoming) = self.incoming.take() {
            self.shared.quic.borrow_mut().ignore(incoming);
        }
    }
}
