//! Looks up the arguments common to all socket functions.

use crate::host::{Host, expect_host};
use crate::socket::hub::Hub;
use crate::socket::report::Reporter;
use crate::socket::settings::SocketOptions;
use crate::socket::state::{Direction, Socket};
use base::log::ErrorLog;
use base::saturated::Saturated;
use lua::{CallContext, Raise, Reply, Stack, Suspension, Type, Value};
use net::deadline::Limit;
use std::rc::Rc;
use std::time::Duration;

/// Items of a socket's table: its number, its pool's key, timeouts in milliseconds, the local address.
pub const ID: usize = 1;
/// The pool's key.
pub const KEY: usize = 2;
/// Timeout of connect.
pub(crate) const CONNECT_TIMEOUT: usize = 3;
/// The index of the send timeout in a socket's table.
pub const SEND_TIMEOUT: usize = 4;
/// The index of the read timeout in a socket's table.
pub const READ_TIMEOUT: usize = 5;
/// Address to connect from.
pub(crate) const BIND: usize = 6;

/// Connects may come from addresses that are not this machine's. 7 to 10 are the client's certificate.
pub(crate) const TRANSPARENT: usize = 11;

/// A running call of a method.
pub struct Call {
    /// The handler's host.
    pub host: Rc<dyn Host>,
    /// The worker's sockets.
    pub hub: Rc<Hub>,
    /// Settings of the location.
    pub options: Rc<SocketOptions>,
}

/// The call, whose first argument is the socket's table.
///
/// # Errors
/// There is no worker, or the argument is no table.
pub fn begin(cx: &CallContext, stack: &Stack<'_>, function: &str) -> Result<Call, Raise> {
    let host = expect_host(cx)?;
    let hub = host.hub().cloned().ok_or("no request found")?;
    if stack.kind(1) != Type::Table {
        return Err(stack.mismatch(1, function, "table"));
    }
    let options = host.socket_options();
    Ok(Call { host, hub, options })
}

impl Call {
    /// The socket's number and the socket, if it was ever connected and its request lives.
    pub fn socket(&self, stack: &mut Stack<'_>) -> Option<(u64, Rc<Socket>)> {
        let id = u64::saturated(item(stack, ID)?);
        Some((id, self.hub.find(id)?))
    }

    /// Keeps a new socket for as long as the client's request lives: one of a subrequest is no other request's when
    /// that has ended.
    pub fn close_with_client(&self, id: u64) {
        self.host.lasting_resources().sockets.add(&self.hub, id);
    }

    /// The worker's own log, for what outlives the request.
    pub fn log(&self) -> Option<&ErrorLog> {
        self.host.worker().map(|worker| &worker.log)
    }

    /// Where errors are logged.
    pub fn reporter(&self, cx: &CallContext) -> Reporter {
        Reporter::new(cx, &self.host, &self.options)
    }

    /// A timeout: the socket's own, else the location's, else a minute.
    pub fn timeout(&self, stack: &mut Stack<'_>, own: usize, configured: Option<u64>) -> Duration {
        let milliseconds = match item(stack, own) {
            Some(own) if own > 0.0 => u64::saturated(own),
            _ => configured.unwrap_or(60_000),
        };
        Duration::from_millis(milliseconds)
    }

    /// Until when a wait lasts that begins now.
    pub fn limit(&self, after: Duration) -> Limit {
        self.hub.limit(self.host.worker().map(|worker| &**worker), after)
    }

    /// Checks that the socket belongs to this request and that none of `works` is under way.
    ///
    /// # Errors
    /// `bad request`. The inner error is for Lua.
    pub fn check(&self, socket: &Socket, works: &[Direction]) -> Result<Result<(), &'static str>, Raise> {
        if !socket.belongs_to(self.host.resources()) {
            return Err("bad request".into());
        }
        Ok(socket.busy(works).map_or(Ok(()), Err))
    }
}

/// A number in the socket's table.
pub fn item(stack: &mut Stack<'_>, index: usize) -> Option<f64> {
    let top = stack.top();
    stack.get_item(1, index);
    let value = stack.number(top + 1);
    stack.truncate(top);
    value
}

/// Checks the number of arguments.
///
/// # Errors
/// `text`, which ends with the number seen.
pub fn check_arguments(stack: &Stack<'_>, admitted: std::ops::RangeInclusive<usize>, text: &str) -> Result<(), Raise> {
    let count = stack.top();
    if admitted.contains(&count) { Ok(()) } else { Err(Raise::new(format!("{text} {count}"))) }
}

/// `nil, "text"` at once.
pub fn fail(stack: &mut Stack<'_>, text: &str) -> Suspension {
    stack.push_nil();
    stack.push_bytes(text.as_bytes());
    Suspension::Now(2)
}

/// One number at once.
pub fn number(stack: &mut Stack<'_>, value: f64) -> Suspension {
    stack.push_number(value);
    Suspension::Now(1)
}

/// The number of results of a function that never waits.
#[must_use]
pub fn now(later: Suspension) -> usize {
    match later {
        Suspension::Now(results) => results,
        _ => 0,
    }
}

/// `nil, text` from a suspended function.
pub fn failure(text: impl Into<Value>) -> Reply {
    Reply::Two(Value::Nil, text.into())
}
