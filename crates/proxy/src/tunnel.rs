//! After a 101: bytes both ways until one side ends or both are silent for too long.

use crate::connection::UpstreamConnection;
use crate::limits::default;
use http::tunnel::Tunnel;
use std::io::{self, IoSlice};
use std::rc::Rc;
use std::task::{Context, Poll};

/// Bytes of one direction on their way.
#[derive(Default)]
struct Way {
    bytes: Vec<u8>,
    sent: usize,
    ended: bool,
    closed: bool,
}

impl Way {
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
pub struct Passed {
    /// To the upstream.
    pub up: u64,
    /// From the upstream.
    pub down: u64,
}

/// Carries bytes until the end; `first` came from the upstream with the head. `timeout` is in milliseconds of silence.
pub async fn run(client: Rc<dyn Tunnel>, mut upstream: UpstreamConnection, first: &[u8], buffer: usize, timeout: u64) -> Passed {
    let buffer = buffer.min(default::MAX_READ as usize);
    let mut down = Way { bytes: first.to_vec(), ..Way::default() };
    let mut up = Way { bytes: Vec::with_capacity(buffer), ..Way::default() };
    down.bytes.reserve(buffer);
    let mut passed = Passed { up: 0, down: first.len() as u64 };
    upstream.set_timer(timeout);
    // How it ended changes nothing for anybody: both connections are closed.
    let _ = std::future::poll_fn(|cx| poll(cx, &*client, &mut upstream, &mut up, &mut down, &mut passed, timeout)).await;
    passed
}

fn poll(
    cx: &mut Context<'_>,
    client: &dyn Tunnel,
    upstream: &mut UpstreamConnection,
    up: &mut Way,
    down: &mut Way,
    passed: &mut Passed,
    timeout: u64,
) -> Poll<io::Result<()>> {
    loop {
        let mut moved = false;
        if !down.is_empty()
            && let Poll::Ready(n) = client.poll_write(cx, down.rest())?
        {
            down.took(n);
            moved = true;
        }
        if !up.is_empty()
            && let Poll::Ready(n) = upstream.channel.stream_mut().poll_write_vectored(cx, &[IoSlice::new(up.rest())])?
        {
            up.took(n);
            moved = true;
        }
        if down.is_empty()
            && !down.ended
            && let Poll::Ready(n) = upstream.channel.stream_mut().poll_read(cx, &mut down.bytes)?
        {
            down.ended = n == 0;
            passed.down += n as u64;
            moved = true;
        }
        if up.is_empty()
            && !up.ended
            && let Poll::Ready(n) = client.poll_read(cx, &mut up.bytes)?
        {
            up.ended = n == 0;
            passed.up += n as u64;
            moved = true;
        }
        // The end of one direction ends both, once its last bytes have left.
        if down.ended && down.is_empty() && !down.closed {
            if client.poll_shutdown(cx)?.is_pending() {
                return Poll::Pending;
            }
            down.closed = true;
        }
        if (down.closed && down.is_empty()) || (up.ended && up.is_empty()) {
            return Poll::Ready(Ok(()));
        }
        if moved {
            upstream.set_timer(timeout);
            continue;
        }
        return upstream.poll_timer(cx).map(|()| Ok(()));
    }
}
