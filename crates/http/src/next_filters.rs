//! The remaining body filters and the wire, as seen from any filter.

use crate::chain::{Chain, FilePiece, Piece};
use crate::location::{Filtered, Location};
use crate::request::Request;
use session::{Outcome, Step};
use std::rc::Rc;

/// A file goes in pieces of so many bytes through filters that read it (`output_buffers` of nginx).
const PIECE: u64 = 32 * 1024;

/// Bytes that may be queued while more of a body is made.
const AHEAD: u64 = 128 * 1024;

/// What stands below a body filter: the filters behind it, and the wire.
#[derive(Clone)]
pub struct NextFilters {
    request: Rc<Request>,
    location: Rc<Location>,
    next: usize,
}

impl NextFilters {
    /// Sends a part of what the filter makes, and waits until the client has taken most of it.
    ///
    /// # Errors
    /// The outcome of a filter that failed; `Error` if the client is gone.
    pub async fn send(&self, chain: Chain) -> Result<(), Outcome> {
        if self.request.wire.is_broken() {
            return Err(Outcome::Error);
        }
        for step in [pass(&self.request, &self.location, self.next, chain), self.request.drain(AHEAD)] {
            match step.finish().await {
                Outcome::Ok => {}
                other => return Err(other),
            }
        }
        Ok(())
    }

    async fn finish(self, result: Result<Chain, Outcome>) -> Outcome {
        match result {
            Ok(chain) => pass(&self.request, &self.location, self.next, chain).finish().await,
            Err(outcome) => failed(&self.request, outcome),
        }
    }
}

/// Sends a chain through all filters.
pub(crate) fn pass_all(request: &Rc<Request>, chain: Chain) -> Step {
    if request.flags.reads_body.get() && chain.pieces.iter().any(is_large) {
        return Step::wait(|| in_pieces(request.clone(), chain));
    }
    pass(request, &request.location(), 0, chain)
}

/// Sends a chain through the filters from `from` on, and to the wire.
fn pass(request: &Rc<Request>, location: &Rc<Location>, from: usize, chain: Chain) -> Step {
    let mut chain = chain;
    for (i, filter) in location.body_filters.iter().enumerate().skip(from) {
        if !filter.runs_for(request) {
            continue;
        }
        let below = || NextFilters { request: request.clone(), location: location.clone(), next: i + 1 };
        match (filter.run)(request, chain) {
            Filtered::Now(Ok(next)) => chain = next,
            Filtered::Now(Err(outcome)) => return Step::Now(failed(request, outcome)),
            Filtered::Kept => return Step::Now(Outcome::Ok),
            Filtered::Wait(future) => {
                let below = below();
                return Step::wait(|| async move { below.finish(future.await).await });
            }
            Filtered::Parts(make) => {
                let below = below();
                let future = make(below.clone());
                return Step::wait(|| async move { below.finish(future.await).await });
            }
        }
    }
    request.deliver(chain);
    Step::Now(Outcome::Ok)
}

/// A filter failed: see [`crate::flags::Flags::filter_failed`].
fn failed(request: &Request, outcome: Outcome) -> Outcome {
    request.flags.filter_failed.set(true);
    outcome
}

fn is_large(piece: &Piece) -> bool {
    matches!(piece, Piece::File(file) if file.end - file.start > PIECE)
}

/// Sends a chain that holds large files piece by piece, as fast as the client takes it. The marks go with the last piece.
async fn in_pieces(request: Rc<Request>, chain: Chain) -> Outcome {
    let all = NextFilters { request: request.clone(), location: request.location(), next: 0 };
    let Chain { pieces, flush, last } = chain;
    let mut held: Option<Piece> = None;
    for mut piece in pieces {
        loop {
            let rest = split(&mut piece);
            if let Some(before) = held.replace(piece)
                && let Err(outcome) = all.send(Chain { pieces: vec![before], ..Chain::default() }).await
            {
                return outcome;
            }
            match rest {
                Some(rest) => piece = rest,
                None => break,
            }
        }
    }
    all.finish(Ok(Chain { pieces: held.into_iter().collect(), flush, last })).await
}

/// Shortens a large file's piece, and returns the rest of it.
fn split(piece: &mut Piece) -> Option<Piece> {
    let Piece::File(file) = piece else { return None };
    let end = file.start + PIECE;
    if end >= file.end {
        return None;
    }
    let rest = FilePiece { start: end, ..file.clone() };
    file.end = end;
    Some(Piece::File(rest))
}
