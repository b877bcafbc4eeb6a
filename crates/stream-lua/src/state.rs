//! Lua's state of one session.

use crate::waiting::PendingOutput;
use lua_lib::socket::state::{Direction, Socket};
use lua_session::SessionState;
use std::cell::{Cell, OnceCell};
use std::rc::Rc;
use stream::Session;

/// What Lua remembers of a session from phase to phase.
#[derive(Default)]
pub(crate) struct State {
    /// What code of every protocol has.
    common: SessionState,
    /// Output that the client has not taken.
    pub(crate) waiting: PendingOutput,
    /// Nothing more is sent.
    pub(crate) eof: Cell<bool>,
    /// The client's side as a socket, once `ngx.req.socket` has given it out.
    pub(crate) client: OnceCell<Rc<Client>>,
    /// The handler knows that the client has gone, or its `ngx.on_abort` thread does.
    pub(crate) abort_known: Cell<bool>,
    /// Who watches the client has read what has been read ahead: for the code it is still on its way, and so the client is there.
    pub(crate) pulled: Cell<bool>,
    /// The session ends with this status, whatever the handler waits for.
    pub(crate) cut_short: Cell<Option<u16>>,
}

impl AsRef<SessionState> for State {
    fn as_ref(&self) -> &SessionState {
        &self.common
    }
}

impl State {
    /// Of a session, made at the first use.
    pub(crate) fn of(session: &Session) -> Rc<State> {
        session.context()
    }
}

/// The client's side of a session as a socket; there is one.
pub(crate) struct Client {
    /// Its number among the sockets of the code of `stream`.
    pub(crate) id: u64,
    /// Closed and busy directions. The bytes are the session's.
    pub(crate) socket: Rc<Socket>,
    /// Something was received: what stood before it can no longer be looked at.
    pub(crate) consumed: Cell<bool>,
}

impl Client {
    /// Whether a send is in progress.
    pub(crate) fn is_sending(&self) -> bool {
        self.socket.busy(&[Direction::Writing]).is_some()
    }

    /// Whether the client's end has been seen.
    pub(crate) fn has_ended(&self) -> bool {
        self.socket.inner.borrow().eof
    }
}
