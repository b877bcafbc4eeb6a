//! The client's side of a session as a socket.

use crate::host::Host;
use crate::state::State;
use lua::{CallContext, Raise, Stack};
use lua_lib::socket::call::{Call, ID, item};
use lua_lib::socket::state::{Socket, Work};
use lua_session::SessionHost;
use std::cell::Cell;
use std::rc::Rc;
use stream::Session;

/// The socket of a session; there is one.
pub(crate) struct Client {
    /// Its number among the sockets of the code of `stream`.
    pub(crate) id: u64,
    /// Closed directions, who is at work. The bytes are the session's.
    pub(crate) socket: Rc<Socket>,
    /// Something was received: what stood before it can no longer be looked at.
    pub(crate) consumed: Cell<bool>,
}

/// A socket that is used by the code of its session.
pub(crate) struct Used {
    pub(crate) client: Rc<Client>,
    pub(crate) session: Rc<Session>,
    pub(crate) state: Rc<State>,
}

impl Client {
    /// Whether somebody sends.
    pub(crate) fn is_sending(&self) -> bool {
        self.socket.busy(&[Work::Writing]).is_some()
    }

    /// Whether the client's end has been seen.
    pub(crate) fn has_ended(&self) -> bool {
        self.socket.inner.borrow().eof
    }

    /// The socket whose table is the first argument; `None` once its session has ended.
    ///
    /// # Errors
    /// `bad request`: it belongs to another session.
    pub(crate) fn find(cx: &CallContext, call: &Call, stack: &mut Stack<'_>) -> Result<Option<Used>, Raise> {
        let Some(id) = item(stack, ID).map(|id| id as u64) else { return Ok(None) };
        let found = cx.host::<Host>().and_then(|host| {
            let client = host.state().client.get().filter(|client| client.id == id)?.clone();
            Some(Used { client, session: host.session()?.clone(), state: host.state().clone() })
        });
        match found {
            None if call.hub.find(id).is_some() => Err("bad request".into()),
            own => Ok(own),
        }
    }
}
