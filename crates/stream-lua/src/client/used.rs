//! The socket that a method is called on.

use crate::host::Host;
use crate::state::{Client, State};
use lua::{CallContext, Raise, Stack};
use lua_lib::socket::call::{Call, ID, item};
use lua_session::SessionHost;
use std::rc::Rc;
use stream::Session;

/// A socket that is used by the code of its session.
pub(crate) struct Used {
    pub(crate) client: Rc<Client>,
    pub(crate) session: Rc<Session>,
    pub(crate) state: Rc<State>,
}

impl Used {
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
