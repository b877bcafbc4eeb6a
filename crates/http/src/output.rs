//! Sending a response: header filters, body filters, and then the wire.

use crate::body::BodyState;
use crate::chain::{Chain, Piece};
use crate::final_headers;
use crate::line::Version;
use crate::location::Location;
use crate::method::Method;
use crate::next_filters;
use crate::request::Request;
use crate::withheld_header::WithheldHeader;
use base::log::Level;
use bytes::Bytes;
use session::{BoxFuture, Outcome, Step};
use std::io::IoSlice;
use std::rc::Rc;

impl Request {
    /// Takes off `$bytes_sent` what was queued and never left.
    pub fn finalize_bytes_sent(&self) {
        self.bytes_sent.set(self.bytes_sent.get().saturating_sub(self.wire.unsent()));
    }

    /// Sends the response head through the header filters, once.
    ///
    /// Returns `Ok`, `Error`, or the status that a filter wants instead.
    pub fn send_header(self: &Rc<Request>) -> Step {
        if self.flags.post_action.get() {
            return Step::Now(Outcome::Ok);
        }
        if self.flags.header_sent.get() {
            self.log(Level::Alert, b"header already sent");
            return Step::Now(Outcome::Error);
        }
        if self.has_bad_body() {
            return Step::Now(Outcome::Status(400));
        }
        self.flags.header_sent.set(true);
        {
            let mut response = self.response.borrow_mut();
            match self.error_status.get() {
                0 if response.status == 0 => response.status = 200,
                0 => {}
                status => response.set_status(status),
            }
        }
        run_header_filters(self, 0)
    }

    /// Whether what has come of a body that nobody has asked for is no body: then nothing but an error answers the request. True once.
    fn has_bad_body(&self) -> bool {
        let body = self.body.borrow();
        let unread = body.state() == BodyState::Unread && body.length().is_none();
        if !unread || self.error_status.get() != 0 || !self.wire.has_bad_body() {
            return false;
        }
        body.set_state(BodyState::Discarded);
        self.flags.keepalive.set(false);
        self.log(Level::Error, b"client sent invalid chunked body");
        true
    }

    /// Whether the response has no body by its method or status (RFC 9110 section 6.4.1).
    pub fn is_bodiless(&self) -> bool {
        let status = self.response.borrow().status;
        self.method() == Method::HEAD || status < 200 || status == 204 || status == 304
    }

    /// Sends body data through the body filters.
    ///
    /// Returns `Ok` or `Error`. Data may still be queued: those who produce much use [`Request::flush`].
    pub fn output(self: &Rc<Request>, chain: Chain) -> Step {
        if self.flags.post_action.get() {
            return Step::Now(Outcome::Ok);
        }
        if chain.last {
            self.flags.output_ended.set(true);
        }
        if !self.has_body_filters() {
            self.deliver(chain);
            return Step::Now(Outcome::Ok);
        }
        next_filters::pass_all(self, chain)
    }

    /// Whether any body filter will look at this response.
    pub fn has_body_filters(&self) -> bool {
        self.body_filters_on.get() != 0 || self.with_location(|l| l.always_filtered)
    }

    /// Lets the body filter with this mark see the body of this response (see [`crate::Attach::body_filter_on_demand`]).
    pub fn demand_body_filter(&self, mark: u32) {
        self.body_filters_on.set(self.body_filters_on.get() | mark);
    }

    /// As [`Request::output`] for bytes that the caller keeps; copies them once.
    pub fn output_slice(self: &Rc<Request>, data: &[u8]) -> Step {
        self.output_slices(&[IoSlice::new(data)])
    }

    /// As [`Request::output_slice`] for bytes that lie in several places.
    pub fn output_slices(self: &Rc<Request>, pieces: &[IoSlice<'_>]) -> Step {
        if self.has_body_filters() && !self.flags.post_action.get() {
            let pieces = pieces.iter().map(|piece| Piece::Bytes(Bytes::copy_from_slice(piece))).collect();
            return self.output(Chain { pieces, ..Chain::default() });
        }
        if !self.flags.header_only.get() {
            self.wire.write_pieces(self, pieces);
        }
        Step::Now(Outcome::Ok)
    }

    /// Sends a whole small body and ends it.
    pub fn output_whole(self: &Rc<Request>, body: impl Into<Bytes> + AsRef<[u8]>) -> Step {
        if self.has_body_filters() || self.flags.post_action.get() {
            return self.output(Chain::bytes(body).and_last());
        }
        self.flags.output_ended.set(true);
        if !self.flags.header_only.get() {
            self.wire.write(self, body.as_ref());
        }
        self.wire.write_chain(self, Chain::end());
        Step::Now(Outcome::Ok)
    }

    /// Ends the body.
    pub fn output_end(self: &Rc<Request>) -> Step {
        self.output(Chain::end())
    }

    pub(crate) fn deliver(&self, mut chain: Chain) {
        if self.flags.header_only.get() {
            chain.pieces.clear();
        }
        self.wire.write_chain(self, chain);
    }

    /// Waits until all that was sent so far has left.
    pub fn flush(self: &Rc<Request>) -> Step {
        self.drain(0)
    }

    /// Waits until at most `below` bytes are queued: back-pressure for producers.
    pub fn drain(self: &Rc<Request>, below: u64) -> Step {
        if self.wire.queued() <= below {
            return Step::Now(Outcome::Ok);
        }
        let request = self.clone();
        Step::wait(|| async move {
            match std::future::poll_fn(|cx| request.wire.poll_drain(cx, below)).await {
                Ok(()) => Outcome::Ok,
                Err(_) => {
                    request.flags.client_gone.set(true);
                    Outcome::Error
                }
            }
        })
    }

    /// A complete small answer: head with length, body, end.
    pub fn respond(self: &Rc<Request>, status: u16, content_type: &[u8], body: impl Into<Bytes>) -> Step {
        let body = body.into();
        {
            let mut response = self.response.borrow_mut();
            response.set_status(status);
            response.content_length = Some(body.len() as u64);
            response.set_content_type(content_type);
        }
        let request = self.clone();
        then(self.send_header(), move |outcome| match outcome {
            Outcome::Ok if request.flags.header_only.get() => Step::Now(Outcome::Ok),
            Outcome::Ok => request.output_whole(body),
            other => Step::Now(other),
        })
    }
}

/// Goes on with `next` when `step` has its answer, waiting only if it waits.
pub fn then(step: Step, next: impl FnOnce(Outcome) -> Step + 'static) -> Step {
    match step {
        Step::Now(outcome) => next(outcome),
        Step::Wait(future) => Step::wait(|| async move { next(future.await).finish().await }),
    }
}

/// Runs the header filters from `from` on, and sends the head.
pub(crate) fn run_header_filters(request: &Rc<Request>, from: usize) -> Step {
    let location = request.location();
    for (i, filter) in location.header_filters(request).iter().enumerate().skip(from) {
        match filter(request) {
            Step::Now(Outcome::Ok | Outcome::Declined) => {}
            Step::Now(other) => return Step::Now(stopped(request, other, i)),
            Step::Wait(future) => return Step::wait(|| header_filters_later(request.clone(), location.clone(), i, future)),
        }
    }
    Step::Now(head_leaves(request))
}

fn head_leaves(request: &Request) -> Outcome {
    // What follows a 101 is no body, but the handler that switched protocols may send it.
    if request.is_bodiless() && request.response.borrow().status != 101 {
        request.flags.header_only.set(true);
    }
    if request.is_main() {
        final_headers::evaluate(request);
    }
    if request.version() != Version::Http09 {
        request.wire.write_head(request);
    }
    Outcome::Ok
}

/// Filter `i` withholds the head (`Done`), or wants another answer (412, 416): the head has not gone, so that answer may still be sent.
fn stopped(request: &Request, outcome: Outcome, i: usize) -> Outcome {
    if outcome == Outcome::Done {
        request.withheld_header.set(WithheldHeader::Waiting(i + 1));
        return Outcome::Ok;
    }
    request.flags.header_sent.set(false);
    outcome
}

/// Goes on when filter `i` has its answer.
async fn header_filters_later(request: Rc<Request>, location: Rc<Location>, i: usize, first: BoxFuture<Outcome>) -> Outcome {
    let (mut i, mut outcome) = (i, first.await);
    while matches!(outcome, Outcome::Ok | Outcome::Declined) {
        i += 1;
        let Some(filter) = location.header_filters(&request).get(i) else { return head_leaves(&request) };
        outcome = filter(&request).finish().await;
    }
    stopped(&request, outcome, i)
}
