//! The bytes of a session between two connections, both ways in one task (`ngx_stream_proxy_process`).
//!
//! Each way has one buffer while bytes are on their way, which goes back to the worker as soon as it is empty. Nothing is read
//! before what was read is written, so that a side that takes nothing holds up the other.

use crate::buffers::Buffers;
use crate::connect::Job;
use crate::header;
use crate::idle::Idle;
use crate::lease::End;
use crate::pace::Pace;
use crate::settings::Plan;
use base::log::Level;
use net::stream::Stream;
use std::future::poll_fn;
use std::io::{self, IoSlice};
use std::rc::Rc;
use std::task::{Context, Poll};
use upstream::secure::handshake::error_line;

/// How often one way goes on before the other has its turn.
const TURNS: usize = 4;

/// One way.
struct Flow {
    buffer: Vec<u8>,
    /// What of the buffer has been written.
    written: usize,
    /// The side that is read from has ended.
    ended: bool,
    pace: Pace,
}

/// Both ways.
struct Relay<'a> {
    job: &'a Job<'a>,
    upstream: Stream,
    buffers: Rc<Buffers>,
    /// From the client.
    up: Flow,
    /// From the server.
    down: Flow,
    /// One side was told that the other has ended.
    half_closed: bool,
    idle: Idle,
    /// Called when bytes were received from the server.
    on_first_byte: &'a dyn Fn(),
}

/// Why a session is over at once.
struct RelayEnd;

impl Flow {
    fn new(rate: u64) -> Flow {
        Flow { buffer: Vec::new(), written: 0, ended: false, pace: Pace::new(rate) }
    }

    fn pending(&self) -> &[u8] {
        self.buffer.get(self.written..).unwrap_or_default()
    }

    fn is_flushed(&self) -> bool {
        self.written >= self.buffer.len()
    }
}

/// How far one way has gone.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Progress {
    /// As far as it may at once: there may be more.
    Far,
    /// Until it had to wait.
    Waits,
}

/// Passes bytes on until the session is over.
pub async fn run(job: &Job<'_>, upstream: Stream, heard: &dyn Fn()) -> End {
    let (session, plan) = (job.session, job.plan);
    let rate = |value| Plan::rate(value, session);
    let mut relay = Relay {
        job,
        upstream,
        buffers: session.worker.state::<Buffers>(),
        up: Flow::new(rate(plan.upload_rate.as_ref())),
        down: Flow::new(rate(plan.download_rate.as_ref())),
        half_closed: false,
        idle: Idle::new(job.timeout),
        on_first_byte: heard,
    };
    relay.begin();
    poll_fn(|cx| relay.poll(cx)).await;
    // Who cannot be told has gone.
    let _ = relay.upstream.close_notify();
    End::Done
}

impl Relay<'_> {
    /// The PROXY protocol's header goes first, unless TLS has sent it already.
    fn begin(&mut self) {
        if let Some(kind) = self.job.plan.header.filter(|_| self.job.plan.secure.is_none()) {
            self.up.buffer = self.buffers.take(self.job.plan.buffer_size);
            header::push(kind, self.job.session, &mut self.up.buffer);
            if let Some(early) = self.job.session.take_preread() {
                self.job.session.count_received(early.len());
                self.up.buffer.extend_from_slice(&early);
            }
        }
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        // Neither way waits for the other one, so only who was told to let others go on goes on.
        let mut went = [Progress::Far; 2];
        while went.contains(&Progress::Far) {
            for from_upstream in [false, true] {
                let way = &mut went[usize::from(from_upstream)];
                if *way != Progress::Far {
                    continue;
                }
                match self.copy(cx, from_upstream) {
                    Ok(went) => *way = went,
                    Err(RelayEnd) => return Poll::Ready(()),
                }
                self.job.session.action.set("proxying connection");
                if self.is_over() {
                    self.log_end(from_upstream);
                    return Poll::Ready(());
                }
                self.half_close(from_upstream);
            }
        }
        // Who rests by himself is not silent.
        if self.up.pace.is_resting() || self.down.pace.is_resting() {
            self.idle.moved();
        }
        if self.idle.poll(self.job.session, cx).is_ready() {
            self.job.session.log(Level::Info, b"connection timed out (110: Connection timed out)");
            return Poll::Ready(());
        }
        Poll::Pending
    }

    /// One way, some turns at most.
    fn copy(&mut self, cx: &mut Context<'_>, from_upstream: bool) -> Result<Progress, RelayEnd> {
        for _ in 0..TURNS {
            if !self.write(cx, from_upstream)? {
                return Ok(Progress::Waits);
            }
            let size = self.job.plan.buffer_size;
            let flow = if from_upstream { &mut self.down } else { &mut self.up };
            let mut buffer = std::mem::take(&mut flow.buffer);
            buffer.clear();
            flow.written = 0;
            if buffer.capacity() == 0 && !flow.ended {
                buffer = self.buffers.take(size);
            }
            let went = self.read(cx, from_upstream, &mut buffer);
            if buffer.is_empty() {
                if buffer.capacity() > 0 {
                    self.buffers.put(buffer);
                }
            } else {
                let flow = if from_upstream { &mut self.down } else { &mut self.up };
                flow.buffer = buffer;
            }
            if !went {
                return Ok(Progress::Waits);
            }
            self.idle.moved();
        }
        Ok(Progress::Far)
    }

    /// Reads what is there; false: nothing is, or the end was known already.
    fn read(&mut self, cx: &mut Context<'_>, from_upstream: bool, buffer: &mut Vec<u8>) -> bool {
        let flow = if from_upstream { &mut self.down } else { &mut self.up };
        if flow.ended {
            return false;
        }
        let session = self.job.session;
        let read = match from_upstream {
            true => self.upstream.poll_read(cx, buffer),
            false => session.poll_read(cx, buffer),
        };
        let Poll::Ready(read) = read else { return false };
        session.action.set(if from_upstream { "proxying and reading from upstream" } else { "proxying and reading from client" });
        match read {
            Ok(0) => flow.ended = true,
            Ok(count) if from_upstream => {
                let received = &self.job.record.received;
                received.set(received.get() + count as u64);
                (self.on_first_byte)();
            }
            Ok(_) => {}
            Err(error) => {
                flow.ended = true;
                self.log_trouble(from_upstream, error_line("recv()", "SSL_read()", &error), &error);
            }
        }
        true
    }

    /// Writes what waits; false: something still does.
    fn write(&mut self, cx: &mut Context<'_>, from_upstream: bool) -> Result<bool, RelayEnd> {
        let session = self.job.session;
        loop {
            let flow = if from_upstream { &mut self.down } else { &mut self.up };
            let waiting = flow.pending().len();
            if waiting == 0 {
                return Ok(true);
            }
            let Poll::Ready(allowed) = flow.pace.poll_allow(session, cx, waiting) else { return Ok(false) };
            let piece = flow.buffer.get(flow.written..flow.written + allowed).unwrap_or_default();
            let written = match from_upstream {
                true => session.poll_write(cx, piece),
                false => self.upstream.poll_write_vectored(cx, &[IoSlice::new(piece)]),
            };
            let Poll::Ready(written) = written else { return Ok(false) };
            session.action.set(if from_upstream { "proxying and sending to client" } else { "proxying and sending to upstream" });
            match written {
                // A socket that takes nothing of something is none.
                Ok(0) => return Err(RelayEnd),
                Ok(count) => {
                    self.idle.moved();
                    flow.written += count;
                    flow.pace.consume(session, count);
                    if !from_upstream {
                        let sent = &self.job.record.sent;
                        sent.set(sent.get() + count as u64);
                    }
                }
                Err(error) => {
                    self.log_trouble(!from_upstream, error_line("send()", "SSL_write()", &error), &error);
                    return Err(RelayEnd);
                }
            }
        }
    }

    /// What goes wrong with the client is for information, as in nginx.
    fn log_trouble(&self, with_upstream: bool, line: Vec<u8>, error: &io::Error) {
        let level = match base::errno::severity(error) {
            Level::Error if !with_upstream => Level::Info,
            _ if error.raw_os_error().is_none() && !with_upstream => Level::Info,
            _ if error.raw_os_error().is_none() => Level::Error,
            level => level,
        };
        self.job.session.log(level, &line);
    }

    fn is_over(&self) -> bool {
        let (client, server) = (self.up.ended, self.down.ended);
        if self.job.plan.half_close {
            return client && server && self.up.is_flushed() && self.down.is_flushed();
        }
        match (client, server) {
            (true, true) => true,
            // What the one who has gone said is with the other.
            (true, false) => self.up.is_flushed(),
            (false, true) => self.down.is_flushed(),
            (false, false) => false,
        }
    }

    /// Tells one side that the other has ended.
    fn half_close(&mut self, from_upstream: bool) {
        let flow = if from_upstream { &self.down } else { &self.up };
        if !self.job.plan.half_close || self.half_closed || !flow.ended || !flow.is_flushed() {
            return;
        }
        self.half_closed = true;
        match from_upstream {
            true => self.job.session.end_writing(),
            // Who cannot be told has gone.
            false => drop(self.upstream.shutdown_write()),
        }
    }

    fn log_end(&self, from_upstream: bool) {
        let session = self.job.session;
        if session.log_enabled(Level::Info) {
            let mut line = if from_upstream { b"upstream disconnected".to_vec() } else { b"client disconnected".to_vec() };
            self.job.record.push_bytes(session, &mut line);
            session.error_log().write(Level::Info, session.connection.id, &line);
        }
    }
}
