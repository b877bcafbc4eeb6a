//! After a 101: copies bytes in both directions until one side closes or both are silent for too long.

use crate::connection::UpstreamConnection;
use crate::limits::{TIMED_OUT, default};
use ::upstream::secure::handshake::trouble;
use base::errno;
use base::log::Level;
use http::Request;
use http::tunnel::Tunnel;
use std::io::{self, IoSlice};
use std::rc::Rc;
use std::task::{Context, Poll};

/// Bytes of one direction on their way.
#[derive(Default)]
struct Direction {
    bytes: Vec<u8>,
    sent: usize,
    ended: bool,
}

impl Direction {
    fn is_empty(&self) -> bool {
        self.sent >= self.bytes.len()
    }

    fn rest(&self) -> &[u8] {
        self.bytes.get(self.sent..).unwrap_or_default()
    }

    fn took(&mut self, n: usize) {
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
            End::Upstream(plain, secure, error) => request.log(Level::Error, &trouble(plain, secure, error)),
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
    let buffer = buffer.min(default::MAX_READ as usize);
    let mut down = Direction { bytes: first.to_vec(), ..Direction::default() };
    let mut up = Direction { bytes: Vec::with_capacity(buffer), ..Direction::default() };
    down.bytes.reserve(buffer);
    let mut passed = Transferred { up: 0, down: first.len() as u64 };
    // What comes from the client goes on at once. The connection may be closed already.
    let _ = upstream.channel.stream().set_no_delay(true);
    upstream.set_timer(timeout);
    request.action.set("proxying upgraded connection");
    let ended = std::future::poll_fn(|cx| poll(cx, &*client, &mut upstream, &mut up, &mut down, &mut passed, timeout)).await;
    ended.log(request);
    passed
}

fn poll(
    cx: &mut Context<'_>,
    client: &dyn Tunnel,
    upstream: &mut UpstreamConnection,
    up: &mut Direction,
    down: &mut Direction,
    passed: &mut Transferred,
    timeout: u64,
) -> Poll<End> {
    loop {
        match carry(cx, client, upstream, up, down, passed) {
            Err(end) => return Poll::Ready(end),
            Ok(true) => upstream.set_timer(timeout),
            Ok(false) => return upstream.poll_timer(cx).map(|()| End::Silent),
        }
    }
}

/// One round over both ways; answers whether anything moved.
fn carry(
    cx: &mut Context<'_>,
    client: &dyn Tunnel,
    upstream: &mut UpstreamConnection,
    up: &mut Direction,
    down: &mut Direction,
    passed: &mut Transferred,
) -> Result<bool, End> {
    let mut moved = false;
    if !down.is_empty()
        && let Poll::Ready(n) = client.poll_write(cx, down.rest()).map_err(|error| End::Client("send()", error))?
    {
        down.took(n);
        moved = true;
    }
    let stream = upstream.channel.stream_mut();
    if !up.is_empty()
        && let Poll::Ready(n) =
            stream.poll_write_vectored(cx, &[IoSlice::new(up.rest())]).map_err(|error| End::Upstream("send()", "SSL_write()", error))?
    {
        up.took(n);
        moved = true;
    }
    if down.is_empty()
        && !down.ended
        && let Poll::Ready(n) = stream.poll_read(cx, &mut down.bytes).map_err(|error| End::Upstream("recv()", "SSL_read()", error))?
    {
        down.ended = n == 0;
        passed.down += n as u64;
        moved = true;
    }
    if up.is_empty()
        && !up.ended
        && let Poll::Ready(n) = client.poll_read(cx, &mut up.bytes).map_err(|error| End::Client("recv()", error))?
    {
        up.ended = n == 0;
        passed.up += n as u64;
        moved = true;
    }
    // The end of one direction ends both, once its last bytes have left.
    if down.ended && down.is_empty() && client.poll_shutdown(cx).map_err(|error| End::Client("shutdown()", error))?.is_ready() {
        return Err(End::Over);
    }
    if up.ended && up.is_empty() {
        return Err(End::Over);
    }
    Ok(moved)
}
