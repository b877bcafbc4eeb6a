//! Body transformations in bounded parts, because a filter may expand its input a lot.

use crate::filtering::{read_at, want_memory};
use base::log::Level;
use bytes::{Buf, Bytes};
use http::location::Filtered;
use http::next_filters::NextFilters;
use http::{Attach, Chain, Outcome, Piece, Request, log_request};
use std::cell::RefCell;
use std::collections::VecDeque;
use std::io;
use std::rc::Rc;

/// Bytes that are read from a file at a time.
const READ: u64 = 32 * 1024;

/// A part of so many bytes leaves before more is made.
pub(crate) const PART: usize = 64 * 1024;

/// What makes a body of another.
pub(crate) trait Transform: 'static {
    /// Its name in the log: `NAME failed`.
    const NAME: &'static str;
    /// Its bit among [`crate::marks`].
    const MARK: u32;

    /// Takes some of `data`, and makes about [`PART`] bytes of it at most. Answers how many bytes it took; with `pending` work it
    /// may take none.
    fn feed(&mut self, data: &[u8], out: &mut Vec<u8>) -> io::Result<usize>;

    /// Whether it can go on without more data.
    fn pending(&self) -> bool {
        false
    }

    /// The body has ended.
    fn finish(&mut self, out: &mut Vec<u8>) -> io::Result<()>;

    /// What is made is let out as far as it is whole.
    fn flush(&mut self, _out: &mut Vec<u8>) -> io::Result<()> {
        Ok(())
    }
}

struct TransformState<T>(RefCell<T>);

/// The body of this response goes through `transform`.
pub(crate) fn begin<T: Transform>(request: &Request, transform: T) {
    want_memory(request);
    request.set_context(Rc::new(TransformState(RefCell::new(transform))));
    request.demand_body_filter(T::MARK);
}

/// The body filter of a transformation, for those bodies for which it has [begun](`begin`).
pub(crate) fn attach<T: Transform>(at: &mut Attach<'_>) {
    at.body_filter_on_demand(T::MARK, body_filter::<T>);
}

/// Data on its way through a transformation.
struct Work<T> {
    state: Rc<TransformState<T>>,
    pieces: VecDeque<Piece>,
    run: Bytes,
    last: bool,
}

impl<T: Transform> Work<T> {
    /// The next part, and whether it is the last one of this data.
    fn part(&mut self) -> io::Result<(Vec<u8>, bool)> {
        let mut out = Vec::new();
        let mut transform = self.state.0.borrow_mut();
        loop {
            if out.len() >= PART {
                return Ok((out, false));
            }
            if self.run.is_empty() {
                self.run = next_run(&mut self.pieces)?;
                if self.run.is_empty() && !transform.pending() {
                    break;
                }
            }
            let took = transform.feed(&self.run, &mut out)?;
            self.run.advance(took.min(self.run.len()));
        }
        if self.last {
            transform.finish(&mut out)?
        } else {
            transform.flush(&mut out)?
        }
        Ok((out, true))
    }

    /// As [`Work::part`]; a failure is logged.
    fn part_or_log(&mut self, request: &Request) -> Result<(Vec<u8>, bool), Outcome> {
        self.part().map_err(|error| {
            log_request!(request, Level::Error, "{} failed: {error}", T::NAME);
            Outcome::Error
        })
    }
}

/// The next bytes; none: there are no more.
fn next_run(pieces: &mut VecDeque<Piece>) -> io::Result<Bytes> {
    loop {
        match pieces.pop_front() {
            None => return Ok(Bytes::new()),
            Some(Piece::Bytes(bytes)) if bytes.is_empty() => {}
            Some(Piece::Bytes(bytes)) => return Ok(bytes),
            Some(Piece::File(mut file)) => {
                let count = (file.end - file.start).min(READ);
                if count == 0 {
                    continue;
                }
                let data = read_at(&file.file, file.start, count as usize)?;
                if data.is_empty() {
                    return Err(io::ErrorKind::UnexpectedEof.into());
                }
                file.start += data.len() as u64;
                pieces.push_front(Piece::File(file));
                return Ok(data.into());
            }
        }
    }
}

fn chain_of(data: Vec<u8>) -> Chain {
    let pieces = if data.is_empty() { Vec::new() } else { vec![Piece::Bytes(data.into())] };
    Chain { pieces, ..Chain::default() }
}

/// Small data at once, the rest part by part.
fn body_filter<T: Transform>(request: &Rc<Request>, chain: Chain) -> Filtered {
    let Some(state) = request.find_context::<TransformState<T>>().filter(|_| !request.flags.header_only.get()) else {
        return Filtered::Now(Ok(chain));
    };
    let Chain { pieces, flush, last } = chain;
    let mut work = Work { state, pieces: pieces.into(), run: Bytes::new(), last };
    match work.part_or_log(request) {
        Err(outcome) => Filtered::Now(Err(outcome)),
        Ok((data, true)) => Filtered::Now(Ok(Chain { flush, last, ..chain_of(data) })),
        Ok((data, false)) => {
            let request = request.clone();
            Filtered::Parts(Box::new(move |below: NextFilters| {
                Box::pin(async move {
                    let mut data = data;
                    loop {
                        below.send(chain_of(data)).await?;
                        let (next, ended) = work.part_or_log(&request)?;
                        if ended {
                            return Ok(Chain { flush, last, ..chain_of(next) });
                        }
                        data = next;
                    }
                })
            }))
        }
    }
}

/// Everything that `transform` makes of `runs`, and the longest part.
#[cfg(test)]
pub(crate) fn whole<T: Transform>(transform: T, runs: Vec<Bytes>) -> io::Result<(Vec<u8>, usize)> {
    let state = Rc::new(TransformState(RefCell::new(transform)));
    let mut work = Work { state, pieces: runs.into_iter().map(Piece::Bytes).collect(), run: Bytes::new(), last: true };
    let (mut all, mut longest) = (Vec::new(), 0);
    loop {
        let (part, ended) = work.part()?;
        longest = longest.max(part.len());
        all.extend(part);
        if ended {
            return Ok((all, longest));
        }
    }
}
