//! The client's side of a session as a socket (`ngx.req.socket`): what is the same for every protocol.

pub mod quick;
pub mod read;
pub mod write;

use base::saturated::Saturated;
use lua::{CallContext, Raise, Stack};
use lua_lib::socket::call::{self, Call, ID, item};
use lua_lib::socket::scan::Pattern;
use lua_lib::socket::state::Socket;
use read::{Received, Receiving};
use std::io;
use std::os::fd::RawFd;
use std::rc::Rc;
use std::task::{Context, Poll};

/// A client's side that is used by the code of its session.
pub trait ClientSocket: Sized + 'static {
    /// The socket with this number, if it belongs to the session that the code runs for.
    fn of_session(cx: &CallContext, id: u64) -> Option<Self>;

    /// The socket whose table is the first argument; `None` once its session has ended.
    ///
    /// # Errors
    /// `bad request`: it belongs to another session.
    fn find(cx: &CallContext, call: &Call, stack: &mut Stack<'_>) -> Result<Option<Self>, Raise> {
        let Some(id) = item(stack, ID).map(u64::saturated) else { return Ok(None) };
        match Self::of_session(cx, id) {
            None if call.hub.find(id).is_some() => Err("bad request".into()),
            own => Ok(own),
        }
    }

    /// Closed and busy directions.
    fn socket(&self) -> &Rc<Socket>;

    /// Whether the handler ends with its client (`lua_check_client_abort`).
    fn checks_abort(&self) -> bool;

    /// Looks at what is there and reads until it suffices.
    fn poll_receive(&self, receiving: &mut Receiving, cx: &mut Context<'_>) -> Poll<Received>;

    /// What was received of a result that an error cuts short.
    fn take_partial(&self, want: &Pattern, closed: bool) -> Vec<u8>;

    /// A receive has found out that the client is gone.
    fn has_gone(&self);

    /// Sends what was said before, so that it leaves before.
    ///
    /// # Errors
    /// It cannot leave yet.
    fn make_way(&self) -> Result<(), &'static str> {
        Ok(())
    }

    /// Sends some of the bytes.
    fn poll_send(&self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>>;

    /// Says in the log that a system call has failed.
    fn report(&self, call: &'static str, error: &io::Error);

    /// The descriptor, if there is one.
    fn descriptor(&self) -> Option<RawFd>;
}

/// `sock:getfd()` (resty.core.socket).
///
/// # Errors
/// Wrong arguments, or a socket of another session.
pub fn descriptor<C: ClientSocket>(cx: &CallContext, stack: &mut Stack<'_>) -> Result<usize, Raise> {
    if stack.is_nil(1) {
        return Err("ngx.socket getfd: expecting the cosocket object, but seen none".into());
    }
    let call = call::begin(cx, stack, "getfd")?;
    match C::find(cx, &call, stack)?.and_then(|client| client.descriptor()) {
        Some(number) => {
            stack.push_number(f64::from(number));
            Ok(1)
        }
        None => {
            stack.push_nil();
            stack.push_bytes(b"closed");
            Ok(2)
        }
    }
}
