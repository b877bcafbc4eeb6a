//! The datagrams of a session between its client and its upstream server.

use crate::buffers::{Buffers, LARGEST_DATAGRAM};
use crate::connect::Job;
use crate::header;
use crate::idle::Idle;
use crate::lease::End;
use crate::pace::Pace;
use crate::settings::{ENDLESS, Plan};
use base::errno;
use base::log::Level;
use net::datagram::Datagram;
use std::future::poll_fn;
use std::io;
use std::pin::pin;
use std::rc::Rc;
use std::task::Poll;
use stream::{Downstream, log_session};

/// A session's state.
struct Exchange<'a> {
    job: &'a Job<'a>,
    upstream: &'a Datagram,
    buffers: Rc<Buffers>,
    /// Datagrams of the client: the first one is what the session began with.
    requests: u64,
    is_first: bool,
    responses: u64,
    up: Pace,
    down: Pace,
    idle: Idle,
    /// The server's side has failed.
    failed: bool,
    /// The next datagram of the client begins another session.
    detached: bool,
    on_first_byte: &'a dyn Fn(),
}

/// What a session waits for.
enum Event {
    Client(io::Result<usize>, Vec<u8>),
    Server,
    Timeout,
}

/// Passes datagrams on until the session is over.
pub async fn run(job: &Job<'_>, upstream: &Datagram, heard: &dyn Fn()) -> End {
    let (session, plan) = (job.session, job.plan);
    let pace = |value| Pace::new(Plan::rate(value, session));
    let mut exchange = Exchange {
        job,
        upstream,
        buffers: session.worker.state::<Buffers>(),
        requests: 1,
        is_first: true,
        responses: 0,
        up: pace(plan.upload_rate.as_ref()),
        down: pace(plan.download_rate.as_ref()),
        idle: Idle::new(job.timeout),
        failed: false,
        detached: false,
        on_first_byte: heard,
    };
    exchange.run().await
}

impl Exchange<'_> {
    async fn run(&mut self) -> End {
        loop {
            let end = match self.wait().await {
                Event::Client(read, datagram) => {
                    let end = self.pass_up(read, &datagram);
                    self.buffers.put(datagram);
                    end
                }
                Event::Server => {
                    let mut buffer = self.buffers.take_full();
                    let end = self.pass_down(&mut buffer).await;
                    self.buffers.give_full(buffer);
                    end
                }
                Event::Timeout => Some(self.timed_out()),
            };
            if let Some(end) = end {
                return end;
            }
            self.job.session.action.set("proxying connection");
            if self.is_over() {
                self.log_end("udp done");
                return if self.failed { End::Blamed } else { End::Done };
            }
        }
    }

    /// A waiting session has no buffer.
    async fn wait(&mut self) -> Event {
        let mut readable = pin!(self.upstream.readable());
        let (session, up, down, idle) = (self.job.session, &mut self.up, &mut self.down, &mut self.idle);
        let (buffers, head) = (&self.buffers, self.job.plan.header.filter(|_| self.is_first));
        poll_fn(|cx| {
            if up.poll_allow(session, cx, 1).is_ready() {
                let mut buffer = buffers.take(LARGEST_DATAGRAM);
                if let Some(kind) = head {
                    header::push(kind, session, &mut buffer);
                }
                match session.poll_read(cx, &mut buffer) {
                    Poll::Ready(read) => return Poll::Ready(Event::Client(read, buffer)),
                    Poll::Pending => buffers.put(buffer),
                }
            }
            if down.poll_allow(session, cx, 1).is_ready() && readable.as_mut().poll(cx).is_ready() {
                return Poll::Ready(Event::Server);
            }
            if up.is_resting() || down.is_resting() {
                idle.moved();
            }
            idle.poll(session, cx).map(|()| Event::Timeout)
        })
        .await
    }

    /// Passes a datagram of the client on.
    fn pass_up(&mut self, read: io::Result<usize>, datagram: &[u8]) -> Option<End> {
        let session = self.job.session;
        session.action.set("proxying and reading from client");
        let count = match read {
            Ok(count) => count,
            Err(error) => {
                log_session!(session, Level::Info, "recv() failed {}", errno::describe(&error));
                return None;
            }
        };
        self.idle.moved();
        self.up.consume(session, count);
        if !std::mem::take(&mut self.is_first) {
            self.requests += 1;
        }
        session.action.set("proxying and sending to upstream");
        match self.upstream.try_send(datagram) {
            Ok(sent) => {
                let total = &self.job.record.sent;
                total.set(total.get() + sent as u64);
                None
            }
            // A socket that is full loses datagrams, as the network does.
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => None,
            Err(error) => {
                let line = format!("send() failed {}", errno::describe(&error));
                session.log(errno::severity(&error), line.as_bytes());
                Some(End::Blamed)
            }
        }
    }

    /// Forwards data received from the server.
    async fn pass_down(&mut self, buffer: &mut [u8]) -> Option<End> {
        let session = self.job.session;
        session.action.set("proxying and reading from upstream");
        let count = match self.upstream.receive_ready(buffer) {
            Ok(count) => count,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return None,
            Err(error) => {
                // It counts as an answer, as in nginx: nothing else will come.
                let line = format!("recv() failed {}", errno::describe(&error));
                session.log(errno::severity(&error), line.as_bytes());
                (self.failed, self.responses) = (true, self.responses + 1);
                return None;
            }
        };
        self.idle.moved();
        self.responses += 1;
        self.down.consume(session, count);
        let received = &self.job.record.received;
        received.set(received.get() + count as u64);
        (self.on_first_byte)();
        session.action.set("proxying and sending to client");
        let datagram = buffer.get(..count).unwrap_or_default();
        if let Err(error) = poll_fn(|cx| session.poll_write(cx, datagram)).await {
            log_session!(session, Level::Info, "send() failed {}", errno::describe(&error));
            return Some(if self.failed { End::Blamed } else { End::Done });
        }
        None
    }

    fn has_all_responses(&self) -> bool {
        self.responses >= self.job.plan.responses.saturating_mul(self.requests)
    }

    /// Whether everything was said (`ngx_stream_proxy_test_finalize`).
    fn is_over(&mut self) -> bool {
        let plan = self.job.plan;
        if self.is_first || (plan.requests > 0 && self.requests < plan.requests) {
            return false;
        }
        if plan.requests > 0
            && !std::mem::replace(&mut self.detached, true)
            && let Downstream::Datagrams(datagrams) = &self.job.session.downstream
        {
            datagrams.close();
        }
        plan.responses != ENDLESS && self.has_all_responses()
    }

    fn timed_out(&mut self) -> End {
        if self.job.plan.responses == ENDLESS || self.has_all_responses() {
            self.log_end("udp timed out");
            return if self.failed { End::Blamed } else { End::Done };
        }
        self.job.session.log(Level::Error, upstream::refusal::TIMED_OUT.as_bytes());
        End::Silent
    }

    fn log_end(&self, what: &str) {
        let session = self.job.session;
        if session.log_enabled(Level::Info) {
            let mut line = format!("{what}, packets from/to client:{}/{}", self.requests, self.responses).into_bytes();
            self.job.record.push_bytes(session, &mut line);
            session.error_log().write(Level::Info, session.connection.id, &line);
        }
    }
}
