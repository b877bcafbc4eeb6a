//! The output of a page in order: finished parts, and includes that run concurrently.

use crate::collector::Included;
use crate::transform::PART;
use bytes::Bytes;
use http::{Piece, Request, Worker};
use std::collections::VecDeque;
use std::rc::Rc;
use std::task::{Context, Poll};

/// Includes of one page that are under way at a time.
const MOST_RUNNING: usize = 32;

/// So many pieces leave, however short they are.
const MANY: usize = 64;

/// What has not gone out yet.
#[derive(Default)]
pub(super) struct OutputQueue {
    items: VecDeque<Item>,
    /// Includes among them that have not begun.
    created: usize,
    /// Bytes in memory that wait behind an include.
    buffered: u64,
}

enum Item {
    Piece(Piece),
    Include(Include),
}

/// How far it went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Progress {
    /// Nothing is left.
    Done,
    /// There is enough to send.
    Full,
    /// An include has to go on first.
    Waiting,
}

/// What stands in an include's place when it fails or says nothing.
pub(super) struct Fallback {
    pub(super) include: Rc<Request>,
    /// As the page with the include has it.
    pub(super) content_type: Vec<u8>,
    pub(super) text: Bytes,
}

impl Fallback {
    /// The include's answer is not what was asked for.
    fn replaces_answer(&self) -> bool {
        let redirected = (300..400).contains(&self.include.response.borrow().status);
        self.include.error_status.get() != 0 || redirected
    }
}

/// An include in its place.
pub(super) struct Include {
    pub(super) included: Included,
    pub(super) stub: Option<Fallback>,
}

impl Include {
    fn poll(&mut self, worker: &Worker, cx: &mut Context<'_>) -> Poll<Option<Vec<Piece>>> {
        loop {
            match self.included.poll_next(cx) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Some(pieces)) => {
                    if self.stub.as_ref().is_some_and(Fallback::replaces_answer) {
                        continue;
                    }
                    if !pieces.iter().all(Piece::is_empty) {
                        self.stub = None;
                        return Poll::Ready(Some(pieces));
                    }
                }
                Poll::Ready(None) => {
                    let Some(Fallback { include, content_type, text }) = self.stub.take() else { return Poll::Ready(None) };
                    let Some(saying) = Included::with_text(&include, &content_type, text) else { return Poll::Ready(None) };
                    self.included = saying;
                    self.included.run_apart(worker);
                }
            }
        }
    }
}

impl OutputQueue {
    pub(super) fn push(&mut self, piece: Piece) {
        if let Piece::Bytes(bytes) = &piece {
            self.buffered += bytes.len() as u64;
        }
        self.items.push_back(Item::Piece(piece));
    }

    pub(super) fn include(&mut self, include: Include) {
        self.created += 1;
        self.items.push_back(Item::Include(include));
    }

    /// So much waits behind an include that the page should wait too.
    pub(super) fn is_full(&self) -> bool {
        self.buffered >= PART as u64
    }

    /// Whether the include whose turn it is wants to know when the client has gone.
    pub(super) fn is_watched(&self) -> bool {
        matches!(self.items.front(), Some(Item::Include(include)) if include.included.is_watched())
    }

    /// Lets includes begin.
    pub(super) fn begin(&mut self, worker: &Worker) {
        if self.created == 0 {
            return;
        }
        let mut running = 0;
        for item in &mut self.items {
            let Item::Include(Include { included, .. }) = item else { continue };
            if included.created().is_some() {
                self.created -= 1;
                included.run_apart(worker);
            }
            running += usize::from(included.is_running());
            if running >= MOST_RUNNING {
                return;
            }
        }
    }

    /// Moves what is ready to `out`.
    pub(super) fn collect(&mut self, worker: &Worker, cx: &mut Context<'_>, out: &mut Vec<Piece>) -> Progress {
        self.begin(worker);
        let mut size: u64 = out.iter().map(Piece::len).sum();
        loop {
            if size >= PART as u64 || out.len() >= MANY {
                return Progress::Full;
            }
            match self.items.pop_front() {
                None => return Progress::Done,
                Some(Item::Piece(piece)) => {
                    if let Piece::Bytes(bytes) = &piece {
                        self.buffered = self.buffered.saturating_sub(bytes.len() as u64);
                    }
                    size += piece.len();
                    out.push(piece);
                }
                Some(Item::Include(mut include)) => match include.poll(worker, cx) {
                    Poll::Ready(None) => self.begin(worker),
                    Poll::Pending => {
                        self.items.push_front(Item::Include(include));
                        return Progress::Waiting;
                    }
                    Poll::Ready(Some(pieces)) => {
                        size += pieces.iter().map(Piece::len).sum::<u64>();
                        out.extend(pieces);
                        self.items.push_front(Item::Include(include));
                    }
                },
            }
        }
    }
}
