//! A new connection for an attempt.

use super::{Attempt, CONNECTING, End, now_ms};
use crate::channel::Channel;
use crate::connection::UpstreamConnection;
use crate::dialect::ChannelKind;
use crate::limits::TIMED_OUT;
use crate::settings::next;
use ::upstream::refusal;
use ::upstream::secure::handshake::{self, HandshakeError};
use http::Outcome;
use net::connect::ConnectFailure;
use std::fmt;
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;
use sys::boxed::pinned;

/// Why there is no connection.
#[derive(Debug)]
enum ConnectError {
    Connect(ConnectFailure),
    Shake(HandshakeError),
}

impl fmt::Display for ConnectError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ConnectError::Connect(failure) => failure.fmt(f),
            ConnectError::Shake(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for ConnectError {}

impl Attempt<'_> {
    pub(super) async fn connect(&self) -> Result<Box<UpstreamConnection>, End> {
        let request = self.exchange.request.clone();
        request.action.set(CONNECTING);
        let plan = &self.exchange.route.plan;
        let target = self.lease.peer.server.address.clone();
        let limit = Duration::from_millis(self.exchange.limits().connect);
        let options = net::connect::Options {
            timeout: Some(limit),
            bind: self.exchange.local(),
            transparent: plan.bind.as_ref().is_some_and(|b| b.transparent),
            keepalive: plan.socket_keepalive,
            receive_buffer: plan.socket_rcvbuf,
            send_buffer: plan.socket_sndbuf,
        };
        let secure = self.exchange.route.secure.as_ref().zip(self.exchange.secure.as_ref());
        let mut connecting = pin!(async {
            let began = std::time::Instant::now();
            let stream = net::connect::connect(&target, options).await.map_err(ConnectError::Connect)?;
            if secure.is_some() || self.exchange.route.dialect.kind() == ChannelKind::Frames {
                // Small writes follow each other here, and must not wait for acknowledgements. It may be closed already.
                let _ = stream.set_no_delay(true);
            }
            let Some((secured, target)) = secure else { return Ok(stream) };
            request.action.set("SSL handshaking to upstream");
            let left = limit.saturating_sub(began.elapsed());
            let names = [&*self.exchange.upstream.name, &*self.lease.peer.server.name];
            // A handshake is large, and few connections have one.
            pinned(|| handshake::perform(&request, secured, target, &names, stream, left)).await.map_err(ConnectError::Shake)
        });
        let watch = self.watch && !self.sender.takes_from_client();
        let result = std::future::poll_fn(|cx| {
            if let Poll::Ready(result) = connecting.as_mut().poll(cx) {
                return Poll::Ready(Some(result));
            }
            if watch && request.wire.poll_gone(cx).is_ready() { Poll::Ready(None) } else { Poll::Pending }
        });
        let result = result.await;
        match result {
            None => {
                let outcome = self.client_closed();
                self.finish(499);
                Err(End::Client(outcome))
            }
            Some(Ok(stream)) => Ok(UpstreamConnection::new(Channel::new(stream, self.exchange.route.dialect.kind()), now_ms())),
            Some(Err(ConnectError::Shake(HandshakeError::Internal))) => {
                self.finish(0);
                Err(End::Client(Outcome::Status(500)))
            }
            Some(Err(ConnectError::Shake(HandshakeError::Server))) => Err(self.failed(next::ERROR, 502, b"")),
            Some(Err(ConnectError::Shake(HandshakeError::TimedOut))) => Err(self.failed(next::TIMEOUT, 504, TIMED_OUT)),
            Some(Err(ConnectError::Connect(failure))) if refusal::is_timeout(&failure) => Err(self.failed(next::TIMEOUT, 504, TIMED_OUT)),
            Some(Err(ConnectError::Connect(failure))) => {
                let (level, line) = refusal::line(&target, &failure);
                self.request().log(level, line.as_bytes());
                if let ConnectFailure::Local { .. } = failure {
                    self.finish(0);
                    return Err(End::Client(Outcome::Status(500)));
                }
                Err(self.failed(next::ERROR, 502, b""))
            }
        }
    }
}
