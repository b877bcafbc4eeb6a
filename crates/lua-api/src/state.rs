//! Lua's state of one request: a module context, forgotten at an internal redirect.

use http::contexts::Reusable;
use http::{BoxFuture, Request};
use lua_session::SessionState;
use std::cell::{Cell, RefCell};
use std::rc::Rc;

/// What Lua remembers of a request from phase to phase.
#[derive(Default)]
pub struct State {
    /// What code of every protocol has.
    pub common: SessionState,
    /// The end of the body was sent.
    pub eof: Cell<bool>,
    /// Something was printed.
    pub seen_body: Cell<bool>,
    /// The response is gathered so that its length is known (`lua_http10_buffering`).
    pub buffering: Cell<bool>,
    /// What was gathered.
    pub gathered: RefCell<Vec<u8>>,
    /// Lua set a response header: its length and ranges are the code's affair.
    pub headers_set: Cell<bool>,
    /// Lua set or removed `Content-Type`: no default takes its place.
    pub mime_set: Cell<bool>,
    /// The content handler has begun.
    pub in_content: Cell<bool>,
    /// A header filter wants this status for a response, in place of the one that was begun.
    pub refused: Cell<u16>,
    /// `ngx.exit` in a header filter.
    pub filter_exit: Cell<Option<i32>>,
    /// The header filter failed: it does not run again.
    pub header_failed: Cell<bool>,
    /// The page about its error, which is to be the body of the response.
    pub page: RefCell<Option<bytes::Bytes>>,
    /// The phase of the handler that runs, as messages name it.
    pub phase: Cell<&'static str>,
    /// The last chunk has passed the Lua body filter.
    pub filter_ended: Cell<bool>,
    /// The number of a location, and whether no Lua filter sees its output.
    pub plain: Cell<(u64, bool)>,
    /// The socket was taken over by `ngx.req.socket(true)`.
    pub raw_socket: Cell<bool>,
    /// The handler knows that the client has gone, or its `ngx.on_abort` thread does.
    pub abort_known: Cell<bool>,
    /// Captured subrequests under way: the handler must not end itself meanwhile.
    pub captures: Cell<u32>,
    /// Output that must wait, begun where nothing can.
    pub pending: RefCell<Option<BoxFuture<session::Outcome>>>,
}

impl AsRef<SessionState> for State {
    fn as_ref(&self) -> &SessionState {
        &self.common
    }
}

impl State {
    /// Of a request, made at the first use.
    pub fn of(request: &Request) -> Rc<State> {
        request.context_reused::<State>()
    }
}

impl Reusable for State {
    fn reset(&mut self) {
        let State {
            common,
            eof,
            seen_body,
            buffering,
            gathered,
            headers_set,
            mime_set,
            in_content,
            refused,
            filter_exit,
            header_failed,
            page,
            phase: _,
            filter_ended,
            plain: _,
            raw_socket,
            abort_known,
            captures,
            pending,
        } = self;
        page.take();
        for mark in [header_failed, eof, seen_body, buffering, headers_set, mime_set, in_content, filter_ended, raw_socket, abort_known] {
            mark.set(false);
        }
        gathered.get_mut().clear();
        refused.set(0);
        filter_exit.set(None);
        captures.set(0);
        drop(pending.take());
        common.reset();
    }
}
