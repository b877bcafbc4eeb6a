//! One attempt at one server: connect, send, read the head, forward the response.

mod answered;
mod connect;
mod noted;
pub mod probe;

use crate::attempt_end::End;
use crate::connection::UpstreamConnection;
use crate::dialect::{Head, UpstreamResponse};
use crate::exchange::Exchange;
use crate::hints;
use crate::lease::Lease;
use crate::limits::{MAX_INTERIM, TIMED_OUT};
use crate::reading::read_on;
use crate::retry::{self, Failure};
use crate::sender::{SendError, Sender};
use crate::settings::next;
use ::upstream::secure::handshake::error_line;
use base::clock;
use base::errno;
use base::log::Level;
use http::{Outcome, log_request};
use std::fmt;
use std::io;
use std::task::{Context, Poll};
use sys::boxed::pinned;

/// Why there is no head.
#[derive(Debug)]
enum AttemptError {
    /// The server: condition, status, line for the log.
    Server(u32, u16, Vec<u8>),
    /// The client.
    Client(Outcome),
}

impl fmt::Display for AttemptError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            AttemptError::Server(_, _, line) => f.write_str(&String::from_utf8_lossy(line)),
            AttemptError::Client(outcome) => write!(f, "the client ended the request: {outcome:?}"),
        }
    }
}

impl std::error::Error for AttemptError {}

/// One try.
pub struct Attempt<'a> {
    exchange: &'a mut Exchange,
    lease: &'a Lease,
    sender: Sender,
    send_error: Option<io::Error>,
    watch: bool,
    /// Informational answers so far.
    interim: u32,
    /// Bytes of early hints so far.
    hints: usize,
    /// The server has said that it did nothing with the request.
    unprocessed: bool,
}

const CONNECTING: &str = "connecting to upstream";
const SENDING: &str = "sending request to upstream";
const READING_HEAD: &str = "reading response header from upstream";

fn now_ms() -> u64 {
    clock::monotonic_ms()
}

impl<'a> Attempt<'a> {
    /// Tries the leased server.
    pub async fn run(exchange: &'a mut Exchange, lease: &'a Lease) -> End {
        let sender = Sender::new(exchange.source.clone(), &exchange.encoded);
        let watch = !exchange.route.plan.ignore_client_abort && !exchange.is_cached();
        let mut attempt = Attempt { exchange, lease, sender, send_error: None, watch, interim: 0, hints: 0, unprocessed: false };
        attempt.drive().await
    }

    async fn drive(&mut self) -> End {
        self.exchange.stale = false;
        let mut pooled = self.take_pooled();
        loop {
            let mut connection = match pooled.take() {
                Some(connection) => connection,
                // What happens now and then has no place in the future of every request: that is moved about.
                None => match pinned(|| self.connect()).await {
                    Ok(connection) => connection,
                    Err(end) => return end,
                },
            };
            connection.requests += 1;
            let now = now_ms();
            self.exchange.record.update(now, |t, elapsed| t.connect = Some(elapsed));
            match self.head(&mut connection).await {
                Ok(mut answer) => {
                    let channel = &connection.channel;
                    let bare = channel.has_ended() && channel.trailers().is_empty() && self.exchange.scratch.holds_only(answer.length);
                    if bare && !self.exchange.encoded.to_head {
                        answer.content_length.get_or_insert(0);
                    }
                    return self.pass_on(connection, answer).end().await;
                }
                Err(AttemptError::Client(outcome)) => {
                    self.finish(0);
                    return End::Client(outcome);
                }
                Err(AttemptError::Server(next::ERROR, ..)) if self.is_free(&connection) => {
                    self.request().log(Level::Info, b"upstream closed an idle connection, connecting anew");
                    self.sender = Sender::new(self.exchange.source.clone(), &self.exchange.encoded);
                    self.send_error = None;
                }
                Err(AttemptError::Server(condition, status, line)) => {
                    self.exchange.stale = condition == next::ERROR && connection.reused && self.exchange.scratch.input.is_empty();
                    return self.failed(condition, status, &line);
                }
            }
        }
    }

    fn request(&self) -> &std::rc::Rc<http::Request> {
        &self.exchange.request
    }

    fn failure(&self, condition: u32, status: u16) -> Failure {
        Failure { condition, status, sent: self.sender.sent > 0 && !self.unprocessed, consumed: self.sender.consumed }
    }

    /// Whether this try may be made anew on a fresh connection: an idle one that died on the way says nothing about its server.
    fn is_free(&self, connection: &UpstreamConnection) -> bool {
        connection.reused
            && self.exchange.scratch.input.is_empty()
            && retry::may_repeat(&self.exchange.route.plan, self.exchange.encoded.once, &self.failure(next::ERROR, 502))
    }

    fn failed(&self, condition: u32, status: u16, line: &[u8]) -> End {
        // What was said while the response was read needs no other line.
        if !line.is_empty() {
            self.request().log(Level::Error, line);
        }
        self.finish(status);
        End::Failed(self.failure(condition, status))
    }

    /// Completes the record of this try; a status of 0 leaves the upstream's.
    fn finish(&self, status: u16) {
        let sent = self.sender.sent;
        self.exchange.record.update(now_ms(), |t, elapsed| {
            t.response = Some(elapsed);
            t.sent = sent;
            if status != 0 {
                t.status = status;
            }
        });
    }

    fn take_pooled(&self) -> Option<Box<UpstreamConnection>> {
        self.exchange.take_idle(&self.lease.peer)
    }

    fn client_closed(&self) -> Outcome {
        self.request().flags.client_gone.set(true);
        self.request().log(Level::Info, b"client prematurely closed connection, so upstream connection is closed too");
        Outcome::Status(499)
    }

    async fn head(&mut self, connection: &mut UpstreamConnection) -> Result<UpstreamResponse, AttemptError> {
        self.request().action.set(SENDING);
        self.exchange.scratch.clear();
        if self.exchange.route.dialect.is_tunnel()
            && let Some(answer) = self.parse()
        {
            return answer;
        }
        connection.channel.begin(self.exchange.route.plan.buffer_size);
        connection.set_timer(self.exchange.limits().send);
        std::future::poll_fn(|cx| self.poll_head(cx, connection)).await
    }

    fn poll_send(&mut self, cx: &mut Context<'_>, connection: &mut UpstreamConnection) -> Result<(), AttemptError> {
        if self.sender.is_done() || self.send_error.is_some() {
            return Ok(());
        }
        let before = self.sender.sent;
        let exchange = &*self.exchange;
        match self.sender.poll(cx, &mut connection.channel, &exchange.scratch.out, &exchange.request) {
            Poll::Ready(Ok(())) => {
                exchange.request.action.set(READING_HEAD);
                connection.set_timer(exchange.limits().read);
            }
            Poll::Ready(Err(SendError::Upstream(error))) => self.send_error = Some(error),
            Poll::Ready(Err(SendError::Client(outcome))) => return Err(AttemptError::Client(outcome)),
            Poll::Ready(Err(SendError::File(error))) => {
                log_request!(exchange.request, Level::Crit, "reading the request body's file failed {}", errno::describe(&error));
                return Err(AttemptError::Client(Outcome::Status(500)));
            }
            Poll::Pending if self.sender.sent != before => connection.set_timer(exchange.limits().send),
            Poll::Pending => {}
        }
        Ok(())
    }

    fn poll_head(&mut self, cx: &mut Context<'_>, connection: &mut UpstreamConnection) -> Poll<Result<UpstreamResponse, AttemptError>> {
        self.poll_send(cx, connection)?;
        loop {
            let size = self.exchange.route.plan.first_read;
            match self.exchange.poll_receive(cx, &mut connection.channel, size) {
                Poll::Ready(Ok(0)) => return Poll::Ready(Err(self.ended())),
                Poll::Ready(Ok(n)) => {
                    self.exchange.record.update(0, |t, _| t.received += n as u64);
                    // Parts of a head do not prolong the wait for the whole, nor do answers that only say that it is on its way.
                    if let Some(result) = self.parse().or_else(|| self.fault(connection)) {
                        connection.set_timer(self.exchange.limits().read);
                        return Poll::Ready(result);
                    }
                    if connection.channel.is_framed() {
                        self.poll_send(cx, connection)?;
                    }
                }
                Poll::Ready(Err(error)) => {
                    self.request().action.set(READING_HEAD);
                    let line = error_line("recv()", "SSL_read()", &error);
                    return Poll::Ready(Err(AttemptError::Server(next::ERROR, 502, line)));
                }
                Poll::Pending => break,
            }
        }
        if let Some(error) = &self.send_error {
            let line = error_line("writev()", "SSL_write()", error);
            return Poll::Ready(Err(AttemptError::Server(next::ERROR, 502, line)));
        }
        if connection.poll_timer(cx).is_ready() {
            return Poll::Ready(Err(AttemptError::Server(next::TIMEOUT, 504, TIMED_OUT.to_vec())));
        }
        if self.watch && !self.sender.takes_from_client() && self.request().wire.poll_gone(cx).is_ready() {
            return Poll::Ready(Err(AttemptError::Client(self.client_closed())));
        }
        Poll::Pending
    }

    /// The error in the frames received instead of a head.
    fn fault(&mut self, connection: &UpstreamConnection) -> Option<Result<UpstreamResponse, AttemptError>> {
        let line = connection.channel.fault()?;
        self.request().action.set(READING_HEAD);
        self.unprocessed = connection.channel.is_unprocessed();
        Some(Err(AttemptError::Server(next::INVALID_HEADER, 502, line.into())))
    }

    /// The upstream closed before its head was whole.
    fn ended(&self) -> AttemptError {
        self.request().action.set(READING_HEAD);
        AttemptError::Server(next::ERROR, 502, b"upstream prematurely closed connection".to_vec())
    }

    /// Parses what is here; `None` wants more.
    fn parse(&mut self) -> Option<Result<UpstreamResponse, AttemptError>> {
        let exchange = &mut *self.exchange;
        loop {
            let head = read_on(exchange);
            let scratch = &mut *exchange.scratch;
            let bad = match head {
                Ok(Head::Partial) => return None,
                Ok(Head::Interim(_)) if self.interim >= MAX_INTERIM => b"upstream sent too many informational responses".to_vec(),
                Ok(Head::Interim(length)) => {
                    self.interim += 1;
                    self.hints += hints::pass(&exchange.request, &exchange.route, scratch, length, self.hints);
                    scratch.input.drain(..length.min(scratch.input.len()));
                    scratch.parser.reset();
                    if scratch.input.is_empty() {
                        return None;
                    }
                    continue;
                }
                Ok(Head::Complete(answer)) => {
                    scratch.unwrapped.close_gap(&mut scratch.input);
                    match answer.broken_start(scratch.input.get(scratch.end_of(answer.length)..).unwrap_or_default()) {
                        None => return Some(Ok(answer)),
                        Some(line) => line.into_owned(),
                    }
                }
                Err(line) => line,
            };
            exchange.request.action.set(READING_HEAD);
            return Some(Err(AttemptError::Server(next::INVALID_HEADER, 502, bad)));
        }
    }
}
