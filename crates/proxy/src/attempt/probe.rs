//! An attempt of a health check: the response is read and not forwarded.

use super::{Attempt, AttemptError, End, now_ms};
use crate::connection::UpstreamConnection;
use crate::dialect::{Framing, UpstreamResponse};
use crate::exchange::Exchange;
use crate::lease::Lease;
use crate::limits::TIMED_OUT;
use crate::relay::READING;
use crate::sender::Sender;
use ::upstream::secure::handshake::error_line;
use base::log::Level;
use std::fmt;
use std::task::{Context, Poll};
use sys::boxed::pinned;
use wire::chunked::Step;

/// A response, as far as it was wanted.
pub struct ProbeAnswer {
    /// Its status.
    pub status: u16,
    /// The beginning of its body.
    pub body: Vec<u8>,
    /// The connection, if it may serve another request.
    pub connection: Option<Box<UpstreamConnection>>,
}

/// There is no response; it has been logged, and the request's action says what failed.
#[derive(Debug)]
pub struct ProbeFailure {
    /// The connection had been idle: a fresh one may do better.
    pub stale: bool,
}

impl fmt::Display for ProbeFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.stale { "the idle connection gave no response" } else { "the server gave no response" })
    }
}

impl std::error::Error for ProbeFailure {}

/// What a read has brought.
enum Read {
    Bytes,
    Closed,
    Failed,
}

impl Attempt<'_> {
    /// Asks the leased server over `idle` or a new connection, and reads up to `most` bytes of its response's body.
    ///
    /// # Errors
    /// When there is no response.
    pub async fn exchange(
        exchange: &mut Exchange,
        lease: &Lease,
        idle: Option<Box<UpstreamConnection>>,
        most: usize,
    ) -> Result<ProbeAnswer, ProbeFailure> {
        let sender = Sender::new(exchange.source.clone(), &exchange.encoded);
        let watch = false;
        let mut attempt = Attempt { exchange, lease, sender, send_error: None, watch, interim: 0, hints: 0, unprocessed: false };
        attempt.read_answer(idle, most).await
    }

    async fn read_answer(&mut self, idle: Option<Box<UpstreamConnection>>, most: usize) -> Result<ProbeAnswer, ProbeFailure> {
        let stale = idle.is_some();
        let mut connection = match idle {
            Some(connection) => connection,
            None => match pinned(|| self.connect()).await {
                Ok(connection) => connection,
                Err(End::Answered(_) | End::Client(_) | End::Failed(_)) => return Err(ProbeFailure { stale }),
            },
        };
        connection.requests += 1;
        self.exchange.record.update(now_ms(), |t, elapsed| t.connect = Some(elapsed));
        let answer = match self.head(&mut connection).await {
            Ok(answer) => answer,
            Err(problem) => {
                if let AttemptError::Server(_, _, line) = problem {
                    self.request().log(Level::Error, &line);
                }
                return Err(ProbeFailure { stale });
            }
        };
        self.note_head(&answer);
        let (status, keeps, length) = (answer.status, answer.keep_alive && !answer.tunnel, answer.length);
        if most == 0 {
            return Ok(ProbeAnswer { status, body: Vec::new(), connection: None });
        }
        self.request().action.set(READING);
        let mut body = Vec::new();
        match self.body(&mut connection, answer.body, length, &mut body, most).await {
            Some(clean) => {
                let connection = Some(connection).filter(|_| clean && keeps && self.sender.is_done());
                Ok(ProbeAnswer { status, body, connection })
            }
            None => Err(ProbeFailure { stale: false }),
        }
    }

    /// What variables tell of the response.
    fn note_head(&mut self, answer: &UpstreamResponse) {
        self.exchange.note_head(answer);
        self.exchange.show_dialect(answer);
    }

    /// Reads the body; `Some(true)` if the connection stands at its end, `None` if it broke off.
    async fn body(
        &mut self,
        connection: &mut UpstreamConnection,
        mut framing: Framing,
        head: usize,
        body: &mut Vec<u8>,
        most: usize,
    ) -> Option<bool> {
        let mut at = self.exchange.scratch.end_of(head);
        connection.set_timer(self.exchange.limits().read);
        loop {
            loop {
                let rest = self.exchange.scratch.input.get(at..).unwrap_or_default();
                let step = connection.channel.next(&mut framing, rest);
                if let Some((level, line)) = framing.log_line() {
                    self.request().log(level, &line);
                }
                match step {
                    Ok(Step::Data { start, end }) => {
                        body.extend_from_slice(rest.get(start..end).unwrap_or_default());
                        at += end;
                        if body.len() >= most {
                            body.truncate(most);
                            return Some(false);
                        }
                    }
                    Ok(Step::Partial) => break,
                    Ok(Step::Done { end }) => {
                        let clean = rest.len() == end && framing.is_clean() && connection.channel.is_clean();
                        self.note_trailers(connection, &framing);
                        return Some(clean);
                    }
                    Err(line) => {
                        self.request().log(Level::Error, &line);
                        return None;
                    }
                }
            }
            self.exchange.scratch.input.clear();
            at = 0;
            match std::future::poll_fn(|cx| self.poll_more(cx, connection)).await {
                Read::Bytes => {}
                Read::Closed if framing.ends_with_connection() => return Some(false),
                Read::Closed => {
                    self.request().log(Level::Error, b"upstream prematurely closed connection");
                    return None;
                }
                Read::Failed => return None,
            }
        }
    }

    fn poll_more(&mut self, cx: &mut Context<'_>, connection: &mut UpstreamConnection) -> Poll<Read> {
        // The response is here already; that the rest of the request was not wanted is its own affair.
        let _ = self.poll_send(cx, connection);
        let size = self.exchange.route.plan.read_size;
        match self.exchange.poll_receive(cx, &mut connection.channel, size) {
            Poll::Ready(Ok(0)) => return Poll::Ready(Read::Closed),
            Poll::Ready(Ok(_)) => {
                connection.set_timer(self.exchange.limits().read);
                return Poll::Ready(Read::Bytes);
            }
            Poll::Ready(Err(error)) => {
                self.request().log(Level::Error, &error_line("recv()", "SSL_read()", &error));
                return Poll::Ready(Read::Failed);
            }
            Poll::Pending => {}
        }
        if connection.poll_timer(cx).is_ready() {
            self.request().log(Level::Error, TIMED_OUT);
            return Poll::Ready(Read::Failed);
        }
        Poll::Pending
    }

    fn note_trailers(&self, connection: &UpstreamConnection, framing: &Framing) {
        let lines = match framing {
            Framing::Chunked(decoder) => decoder.trailers(),
            Framing::Frames(_) => connection.channel.trailers(),
            _ => return,
        };
        if !self.exchange.record.store_trailers(lines, |_, _| {}) {
            self.request().log(Level::Error, b"upstream sent invalid trailer");
        }
    }
}
