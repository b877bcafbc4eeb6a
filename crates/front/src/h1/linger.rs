//! The end of a request's body, and of a connection, without cutting off the client (nginx manual, `lingering_close`).

use super::connection::H1;
use crate::active::{Activity, NEVER};
use base::clock;
use http::connection::BodyRead;
use http::core::{Core, Lingering, default};
use std::future::poll_fn;
use std::task::Poll;

/// Throws away what is left of the request body. True: all of it came, the connection can go on.
pub async fn discard_body(conn: &H1, core: &Core) -> bool {
    let start = clock::monotonic_ms();
    let limit = start.saturating_add(core.lingering_time.unwrap_or(default::LINGERING_TIME));
    let pause = core.lingering_timeout.unwrap_or(default::LINGERING_TIMEOUT);
    conn.watch.read_by(start.saturating_add(pause).min(limit));
    let whole = poll_fn(|cx| {
        loop {
            // The answer may still be on its way; a failure shows when the connection is closed.
            let _ = conn.try_send();
            match conn.body.borrow_mut().take(&mut conn.input.borrow_mut(), usize::MAX, |_| ()) {
                Ok(Some(BodyRead::End)) => return Poll::Ready(true),
                Ok(Some(BodyRead::Data(_))) => continue,
                Ok(None) => {}
                Err(_) => return Poll::Ready(false),
            }
            if conn.watch.read_expired() || conn.watch.evicted() {
                return Poll::Ready(false);
            }
            match conn.poll_fill(cx) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Ok(n)) if n > 0 => {
                    conn.watch.read_by(clock::monotonic_ms().saturating_add(pause).min(limit));
                }
                Poll::Ready(_) => return Poll::Ready(false),
            }
        }
    })
    .await;
    conn.watch.read_by(NEVER);
    whole
}

/// Closes our side and drops what the client still sends, so that it gets to read the answer.
pub async fn linger(conn: &H1, core: &Core, unread: bool) {
    match core.lingering_close.unwrap_or(Lingering::On) {
        Lingering::Off => return,
        Lingering::On if !unread && conn.input.borrow().unread().is_empty() => return,
        _ => {}
    }
    if conn.input.borrow().ended || conn.stream.borrow().shutdown_write().is_err() {
        return;
    }
    conn.watch.set_activity(Activity::Idle);
    let start = clock::monotonic_ms();
    let limit = start.saturating_add(core.lingering_time.unwrap_or(default::LINGERING_TIME));
    let pause = core.lingering_timeout.unwrap_or(default::LINGERING_TIMEOUT);
    conn.watch.read_by(start.saturating_add(pause).min(limit));
    poll_fn(|cx| {
        loop {
            {
                let mut input = conn.input.borrow_mut();
                let all = input.unread().len();
                input.advance(all);
            }
            if conn.watch.read_expired() || conn.watch.evicted() {
                return Poll::Ready(());
            }
            match conn.poll_fill(cx) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Ok(n)) if n > 0 => {
                    conn.watch.read_by(clock::monotonic_ms().saturating_add(pause).min(limit));
                }
                Poll::Ready(_) => return Poll::Ready(()),
            }
        }
    })
    .await;
}
