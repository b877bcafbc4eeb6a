//! One stream: the wire of one request.

mod downstream;
mod ending;
mod state;
mod tunnel;

use super::carrier::Carrier;
use super::hub::OpenStream;
use super::received::{BodyPart, Received};
use super::waiting::Wakers;
use crate::active::{NEVER, Watch};
use crate::output::{Next, Output};
use crate::pace::{Allowance, Pace};
use base::clock;
use base::log::Level;
use http::core::default;
use http::{Headers, Request};
use state::{BodyState, ResponseState, Stage};
use std::cell::{Cell, OnceCell, RefCell};
use std::rc::Rc;
use std::task::Context;

/// How long a client may continue to send an unread body after the response, milliseconds.
const LINGER: u64 = 200;

/// One request on a multiplexed connection.
pub struct Stream<C: Carrier> {
    /// Its connection.
    pub conn: Rc<C>,
    /// Its number.
    pub id: C::Id,
    /// What the protocol keeps with it.
    pub own: C::Own,
    output: RefCell<Output>,
    /// The response's trailers.
    trailers: RefCell<Headers>,
    body: RefCell<Received>,
    body_state: Cell<BodyState>,
    /// Why the body is not what was announced.
    body_wrong: OnceCell<Box<str>>,
    response_state: Cell<ResponseState>,
    /// The response says that something is wrong.
    refused: Cell<bool>,
    stage: Cell<Stage>,
    /// The peer is gone.
    reset: Cell<bool>,
    /// What was queued when it was.
    unsent: Cell<u64>,
    /// A flush was requested.
    pub flush: Cell<bool>,
    /// An extended CONNECT (RFC 8441): after its consent the stream is a tunnel.
    pub extended: Cell<bool>,
    /// The client was too slow.
    timed_out: Cell<bool>,
    /// Its bytes were handed out: nothing is framed as a response any more.
    tunneled: Cell<bool>,
    /// What the stream is reset with once its response has gone.
    pub reset_after: Cell<Option<C::Code>>,
    chunk: Cell<usize>,
    send_timeout: Cell<u64>,
    /// Made when something is waited for: most requests never wait.
    watch: OnceCell<Rc<Watch>>,
    pace: Pace,
    /// Wakers that wait for bytes, room, or the stream's end.
    waiting: Wakers,
}

impl<C: Carrier> Stream<C> {
    /// A stream that has just been opened.
    pub fn open(conn: &Rc<C>, id: C::Id, body_ended: bool) -> Rc<Stream<C>> {
        let stream = Rc::new(Stream {
            conn: conn.clone(),
            id,
            own: C::Own::default(),
            output: RefCell::default(),
            trailers: RefCell::default(),
            body: RefCell::default(),
            body_state: Cell::new(if body_ended { BodyState::Complete } else { BodyState::Open }),
            body_wrong: OnceCell::new(),
            response_state: Cell::new(ResponseState::Open),
            refused: Cell::new(false),
            stage: Cell::new(Stage::Request),
            reset: Cell::new(false),
            unsent: Cell::new(0),
            flush: Cell::new(false),
            extended: Cell::new(false),
            tunneled: Cell::new(false),
            timed_out: Cell::new(false),
            reset_after: Cell::new(None),
            chunk: Cell::new(usize::MAX),
            send_timeout: Cell::new(default::TIMEOUT),
            watch: OnceCell::new(),
            pace: Pace::default(),
            waiting: Wakers::default(),
        });
        conn.hub().streams.borrow_mut().insert(id, stream.clone());
        stream
    }

    fn watch(&self) -> &Watch {
        self.watch.get_or_init(|| self.conn.hub().front.active.watch_stream())
    }

    fn is_resting(&self) -> bool {
        self.watch.get().is_some_and(|watch| watch.is_paused())
    }

    fn stop_waiting(&self, what: fn(&Watch, u64)) {
        if let Some(watch) = self.watch.get() {
            what(watch, NEVER);
        }
    }

    /// The request's task polls.
    pub fn set_waker(&self, cx: &Context<'_>) {
        self.watch().wake_on_expiry(cx.waker());
        self.waiting.poll(self.watch(), cx);
    }

    /// There is something to send.
    pub fn notify_ready(&self) {
        if self.output.borrow().queued() == 0 {
            self.end_if_empty();
        } else {
            self.queue_send();
        }
        self.conn.hub().offer();
    }

    /// Whether what is queued should be sent without waiting for more; `postpone` is `postpone_output`.
    pub(crate) fn should_send(&self, postpone: u64) -> bool {
        let queued = self.output.borrow().queued();
        self.flush.get() || (queued > 0 && queued >= postpone)
    }

    fn queue_send(&self) {
        self.conn.queue_send(self.id, &self.own);
    }

    fn kick_if_unsent(&self) {
        if self.conn.has_unsent() {
            self.conn.hub().kick();
        }
    }

    /// The client may send so much of the body again.
    fn release(&self, taken: usize) {
        self.conn.release(self.id, &self.own, taken);
        self.kick_if_unsent();
    }

    fn send_content(&self, quota: usize) {
        let mut output = self.output.borrow_mut();
        let queued = output.queued();
        let whole = self.is_complete() && self.trailers.borrow().is_empty() && !self.is_answered_early();
        let (sent, ended) = match output.next() {
            Next::Memory(bytes) => {
                let part = bytes.get(..quota).unwrap_or(bytes);
                let end = whole && part.len() as u64 == queued;
                let sent = self.conn.data(self.id, &self.own, part, end);
                (sent, end && sent == part.len())
            }
            Next::File(file) => {
                let length = usize::try_from(file.end - file.start).unwrap_or(usize::MAX).min(quota);
                let end = whole && length as u64 == queued;
                match self.conn.file(self.id, &self.own, file, length, end) {
                    Ok(sent) => (sent, end && sent == length),
                    Err(_) => {
                        // A file that became shorter than announced: the response cannot be completed.
                        drop(output);
                        return self.reset_stream(C::FAILED);
                    }
                }
            }
        };
        if ended {
            self.response_state.set(ResponseState::Ended);
        }
        output.consume(sent);
    }

    fn reset_stream(&self, code: C::Code) {
        self.reset_after.set(Some(code));
        self.reset();
        self.close();
    }

    fn account(&self, request: &Request, before: u64) {
        self.pace.update(request);
        let added = self.output.borrow().queued() - before;
        if added > 0 {
            request.bytes_sent.set(request.bytes_sent.get() + added + C::FRAME_HEAD);
        }
    }

    fn keep_trailers(&self, request: &Request) {
        let response = request.response.borrow();
        let mut trailers = self.trailers.borrow_mut();
        for (name, value) in response.trailers.iter() {
            trailers.push(&name.to_ascii_lowercase(), value);
        }
    }
}

impl<C: Carrier> OpenStream<C::Code> for Stream<C> {
    fn send_some(&self) {
        let allowed = match self.pace.allowance(clock::now()) {
            Allowance::Bytes(most) => usize::try_from(most).unwrap_or(usize::MAX),
            Allowance::NotBefore(time) => return self.watch().pause_until(time),
        };
        let quota = self.conn.quota(self.id, &self.own).min(self.chunk.get()).min(allowed);
        let before = self.output.borrow().queued();
        if before > 0 {
            self.send_content(quota);
        }
        let after = self.output.borrow().queued();
        self.pace.note_sent(before - after, clock::now());
        if after < before {
            // Whoever waits goes on, or sets the next deadline.
            self.stop_waiting(Watch::write_by);
            self.waiting.wake();
        }
        match after {
            0 => self.end_if_empty(),
            _ if after < before => self.queue_send(),
            // Nothing may be sent, though the codec named this stream: asking again at once would never end.
            _ => {}
        }
    }

    fn take_body(&self, data: BodyPart<'_>, end: bool, wrong: Option<String>) {
        let bad = wrong.is_some();
        if let Some(wrong) = wrong {
            if self.is_finished() {
                self.conn.hub().log(Level::Info, &wrong);
            }
            // The first fault is the cause of all others.
            let _ = self.body_wrong.set(wrong.into());
            if self.stage.get() == Stage::Lingering {
                self.end();
                return self.close();
            }
        }
        if !self.is_finished() {
            self.body.borrow_mut().push(data);
        }
        if bad {
            self.body_state.set(BodyState::Invalid);
        } else if end && self.body_state.get() == BodyState::Open {
            self.body_state.set(BodyState::Complete);
        }
        self.waiting.wake();
    }

    fn unread(&self) -> usize {
        self.body.borrow().unread()
    }

    fn reset(&self) {
        self.reset.set(true);
        self.unsent.set(self.unsent.get() + self.output.borrow().queued());
        self.output.borrow_mut().clear();
        self.waiting.wake();
        if self.is_finished() {
            self.close();
        }
    }

    fn check(&self) {
        if self.stage.get() == Stage::Lingering {
            let over = self.watch().write_expired() || !self.conn.is_receiving(self.id, &self.own);
            if over {
                self.end();
                self.close();
            }
            return;
        }
        if self.is_finished() {
            let watch = self.watch();
            if watch.write_expired() {
                return self.reset_stream(C::SLOW);
            }
            if !watch.is_writing() && !watch.is_paused() {
                watch.write_by(clock::monotonic_ms().saturating_add(self.send_timeout.get()));
            }
            self.conn.hub().set_watch(watch);
        }
        if self.output.borrow().queued() > 0 && !self.is_resting() {
            self.queue_send();
        }
    }

    fn reset_later(&self, code: C::Code) {
        self.reset_after.set(Some(code));
    }
}
