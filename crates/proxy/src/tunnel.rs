//! After a 101: copies bytes in both directions until one side closes or both are silent for too long.

use crate::connection::UpstreamConnection;
use crate::limits::{TIMED_OUT, default};
use ::upstream::secure::handshake::error_line;
use base::errno;
use base::log::Level;
use base::saturated::Saturated;
use http::Request;
use http::tunnel::Tunnel;
use std::io::{self, IoSlice};
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use tokio::task::coop::has_budget_remaining;

#[cfg(test)]
mod tests;

/// Bytes of one direction on their way.
#[derive(Default)]
struct Direction {
    bytes: Vec<u8>,
    sent: usize,
    ended: bool,
    /// Something was read or written since the timer was set.
    moved: bool,
    /// The last read had to wait, for the task that asks now, and not because this one had used up its share of the turn: then it has not
    /// looked and nothing would wake it.
    waits: bool,
}

impl Direction {
    fn is_empty(&self) -> bool {
        self.sent >= self.bytes.len()
    }

    fn pending(&self) -> &[u8] {
        self.bytes.get(self.sent..).unwrap_or_default()
    }

    /// Nothing is to be done: what was read has left, and a read would wait as the last one does.
    fn rests(&self, still_waits: impl FnOnce() -> bool) -> bool {
        self.waits && self.is_empty() && still_waits()
    }

    /// So many bytes were read, none at the end; how many.
    fn count_read(&mut self, n: usize) -> u64 {
        self.ended = n == 0;
        self.moved = true;
        n as u64
    }

    fn advance(&mut self, n: usize) {
        self.moved = true;
        self.sent += n;
        if self.is_empty() {
            self.bytes.clear();
            self.sent = 0;
        }
    }
}

/// Bytes that passed, for the record.
#[derive(Clone, Copy, Debug, Default)]
pub struct Transferred {
    /// To the upstream.
    pub up: u64,
    /// From the upstream.
    pub down: u64,
}

/// How it ended.
enum End {
    /// One side has nothing more to say.
    Over,
    /// Both were silent for too long.
    Silent,
    /// The client's connection failed in this call.
    Client(&'static str, io::Error),
    /// The upstream's.
    Upstream(&'static str, &'static str, io::Error),
}

impl End {
    /// Says it. The connections are closed in any case, and the client has got its status before.
    fn log(&self, request: &Request) {
        match self {
            End::Over => {}
            End::Silent => request.log(Level::Error, TIMED_OUT),
            End::Client(call, error) => request.log(Level::Info, format!("{call} failed {}", errno::describe(error)).as_bytes()),
            End::Upstream(plain, secure, error) => request.log(Level::Error, &error_line(plain, secure, error)),
        }
    }
}

/// Carries bytes until the end; `first` came from the upstream with the head. `timeout` is in milliseconds of silence.
pub async fn run(
    request: &Request,
    client: Rc<dyn Tunnel>,
    mut upstream: Box<UpstreamConnection>,
    first: &[u8],
    buffer: usize,
    timeout: u64,
) -> Transferred {
    let mut ways = Ways::new(first, buffer.min(usize::saturated(default::MAX_READ)));
    // What comes from the client goes on at once. The connection may be closed already.
    let _ = upstream.channel.stream().set_no_delay(true);
    upstream.set_timer(timeout);
    request.action.set("proxying upgraded connection");
    let ended = std::future::poll_fn(|cx| {
        match ways.pump(cx, &*client, &mut upstream) {
            Ok(false) => {}
            Ok(true) => upstream.set_timer(timeout),
            Err(end) => return Poll::Ready(end),
        }
        upstream.poll_timer(cx).map(|()| End::Silent)
    })
    .await;
    ended.log(request);
    ways.passed
}

/// Both directions.
struct Ways {
    up: Direction,
    down: Direction,
    passed: Transferred,
    /// Whom the connections wake.
    task: Waker,
}

impl Ways {
    fn new(first: &[u8], buffer: usize) -> Ways {
        let up = Direction { bytes: Vec::with_capacity(buffer), ..Direction::default() };
        let mut down = Direction { bytes: first.to_vec(), ..Direction::default() };
        down.bytes.reserve(buffer);
        Ways { up, down, passed: Transferred { up: 0, down: first.len() as u64 }, task: Waker::noop().clone() }
    }

    /// Moves what can be moved in both directions; whether anything was.
    fn pump(&mut self, cx: &mut Context<'_>, client: &dyn Tunnel, upstream: &mut UpstreamConnection) -> Result<bool, End> {
        let Ways { up, down, passed, task } = self;
        if !task.will_wake(cx.waker()) {
            // What waits, waits for another task.
            task.clone_from(cx.waker());
            (up.waits, down.waits) = (false, false);
        }
        // Each way goes as far as it can, so that neither has to be looked at again for what the other one did.
        carry_down(cx, client, upstream, down, &mut passed.down)?;
        carry_up(cx, client, upstream, up, &mut passed.up)?;
        // The end of one direction ends both, once its last bytes have left.
        if down.ended && down.is_empty() {
            match client.poll_shutdown(cx) {
                Poll::Ready(Ok(())) => return Err(End::Over),
                Poll::Ready(Err(error)) => return Err(End::Client("shutdown()", error)),
                Poll::Pending => {}
            }
        }
        if up.ended && up.is_empty() {
            return Err(End::Over);
        }
        Ok(std::mem::take(&mut down.moved) | std::mem::take(&mut up.moved))
    }
}

/// From the upstream to the client, until one of them lets it wait.
fn carry_down(
    cx: &mut Context<'_>,
    client: &dyn Tunnel,
    upstream: &mut UpstreamConnection,
    down: &mut Direction,
    passed: &mut u64,
) -> Result<(), End> {
    let stream = upstream.channel.stream_mut();
    if down.rests(|| stream.still_waits()) {
        return Ok(());
    }
    loop {
        while !down.is_empty() {
            match client.poll_write(cx, down.pending()).map_err(|error| End::Client("send()", error))? {
                Poll::Ready(n) => down.advance(n),
                Poll::Pending => return Ok(()),
            }
        }
        if down.ended {
            return Ok(());
        }
        match stream.poll_read(cx, &mut down.bytes).map_err(|error| End::Upstream("recv()", "SSL_read()", error))? {
            Poll::Ready(n) => *passed += down.count_read(n),
            Poll::Pending => {
                down.waits = has_budget_remaining();
                return Ok(());
            }
        }
    }
}

/// From the client to the upstream, likewise.
fn carry_up(
    cx: &mut Context<'_>,
    client: &dyn Tunnel,
    upstream: &mut UpstreamConnection,
    up: &mut Direction,
    passed: &mut u64,
) -> Result<(), End> {
    let stream = upstream.channel.stream_mut();
    if up.rests(|| client.still_waits()) {
        return Ok(());
    }
    loop {
        while !up.is_empty() {
            let written = stream.poll_write_vectored(cx, &[IoSlice::new(up.pending())]);
            match written.map_err(|error| End::Upstream("send()", "SSL_write()", error))? {
                Poll::Ready(n) => up.advance(n),
                Poll::Pending => return Ok(()),
            }
        }
        if up.ended {
            return Ok(());
        }
        match client.poll_read(cx, &mut up.bytes).map_err(|error| End::Client("recv()", error))? {
            Poll::Ready(n) => *passed += up.count_read(n),
            Poll::Pending => {
                up.waits = has_budget_remaining();
                return Ok(());
            }
        }
    }
}
