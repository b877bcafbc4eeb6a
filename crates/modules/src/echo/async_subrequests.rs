//! Subrequests that run beside the commands, and what they hold back.

use super::subrequests::RunningSubrequest;
use bytes::Bytes;
use http::{Chain, Outcome, Piece, Request};
use std::cell::RefCell;
use std::future::poll_fn;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

/// A part of the response behind which others wait.
pub(super) enum ResponsePart {
    /// Of a subrequest.
    Answer(RunningSubrequest),
    /// Of a command.
    Text(Bytes),
}

impl ResponsePart {
    /// Runs it on; whether it is whole.
    fn poll(&mut self, cx: &mut Context<'_>) -> bool {
        let ResponsePart::Answer(begun) = self else { return true };
        if begun.running.as_mut().is_some_and(|future| future.as_mut().poll(cx).is_pending()) {
            return false;
        }
        begun.running = None;
        true
    }

    fn pieces(self) -> Vec<Piece> {
        match self {
            ResponsePart::Answer(begun) => begun.wire.take(),
            ResponsePart::Text(text) => vec![Piece::Bytes(text)],
        }
    }
}

/// Runs all on; how many at the beginning are whole.
fn poll_all(held: &RefCell<Vec<ResponsePart>>, cx: &mut Context<'_>) -> usize {
    let whole: Vec<bool> = held.borrow_mut().iter_mut().map(|item| item.poll(cx)).collect();
    whole.iter().take_while(|whole| **whole).count()
}

/// Sends the first `count`.
async fn send(request: &Rc<Request>, held: &RefCell<Vec<ResponsePart>>, count: usize) -> Outcome {
    let whole = count.min(held.borrow().len());
    let rest = held.borrow_mut().split_off(whole);
    let pieces: Vec<Piece> = held.replace(rest).into_iter().flat_map(ResponsePart::pieces).collect();
    if pieces.is_empty() || request.flags.header_only.get() {
        return Outcome::Ok;
    }
    request.output(Chain { pieces, flush: false, last: false }).finish().await
}

/// Waits for all and sends them.
pub(super) async fn join(request: &Rc<Request>, held: &RefCell<Vec<ResponsePart>>) -> Outcome {
    let count = poll_fn(|cx| {
        let whole = poll_all(held, cx);
        if whole == held.borrow().len() { Poll::Ready(whole) } else { Poll::Pending }
    })
    .await;
    send(request, held, count).await
}

/// Lets `time` pass while they run, and sends what is whole meanwhile.
pub(super) async fn sleep(request: &Rc<Request>, held: &RefCell<Vec<ResponsePart>>, time: Duration) -> Outcome {
    let mut timer = Box::pin(net::time::sleep(time));
    loop {
        let count = poll_fn(|cx| {
            let whole = poll_all(held, cx);
            match timer.as_mut().poll(cx) {
                Poll::Ready(()) => Poll::Ready(0),
                Poll::Pending if whole > 0 => Poll::Ready(whole),
                Poll::Pending => Poll::Pending,
            }
        })
        .await;
        if count == 0 {
            return Outcome::Ok;
        }
        let outcome = send(request, held, count).await;
        if outcome != Outcome::Ok {
            return outcome;
        }
    }
}
