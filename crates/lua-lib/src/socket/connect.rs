//! `connect` and `bind`.

use crate::socket::call::{self, BIND, CONNECT_TIMEOUT, Call, ID, KEY, TRANSPARENT, check_arguments, fail, failure, number};
use crate::socket::label::Label;
use crate::socket::names::SocketError;
use crate::socket::names::{self, Destination};
use crate::socket::pools::{self, Admission, Pool, Ticket};
use crate::socket::report::Reporter;
use crate::socket::state::{Direction, Socket, error_text};
use base::log::Level;
use base::saturated::Saturated;
use lua::{CallContext, Raise, Reply, Stack, Suspension, Type, Value};
use net::address::SocketAddress;
use net::connect::{ConnectFailure, Options};
use net::stream::Stream;
use resolver::settings::Resolving;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::AsRawFd;
use std::rc::Rc;
use std::time::Duration;

/// `sock:bind(address[, port])`.
///
/// # Errors
/// Wrong arguments.
pub fn bind(cx: &CallContext, stack: &mut Stack<'_>) -> Result<usize, Raise> {
    check_arguments(stack, 2..=3, "expecting 2 or 3 arguments, but got")?;
    let call = call::begin(cx, stack, "bind")?;
    let port = if stack.top() == 3 {
        let Some(port) = stack.number(3) else {
            let text = format!("expecting port to be anumber but got type: {}", stack.kind(3).name());
            fail(stack, &text);
            return Ok(2);
        };
        port
    } else {
        0.0
    };
    let Some(port) = names::port(port) else {
        fail(stack, &format!("bad port number: {}", i64::saturated(port)));
        return Ok(2);
    };
    let text = String::from_utf8_lossy(stack.check_bytes(2, "bind")?).into_owned();
    let Ok(ip) = text.parse::<IpAddr>() else {
        fail(stack, "bad address");
        return Ok(2);
    };
    stack.push_bytes(SocketAddr::new(ip, port).to_string().as_bytes());
    stack.set_item(1, BIND);
    call.reporter(cx).debug(format_args!("lua tcp socket bind ip: {}", local_text(SocketAddr::new(ip, port))));
    stack.push_bool(true);
    Ok(1)
}

/// A local address as it was given: port 0 is none.
fn local_text(local: SocketAddr) -> String {
    if local.port() == 0 { local.ip().to_string() } else { local.to_string() }
}

/// The last argument of connect.
#[derive(Default)]
struct PoolOptions {
    name: Option<Vec<u8>>,
    size: Option<usize>,
    backlog: Option<usize>,
}

fn pool_options(stack: &mut Stack<'_>, at: usize, default_size: u64) -> Result<PoolOptions, Raise> {
    let bad = |text: String| Raise::argument(at, "connect", &text);
    let mut options = PoolOptions::default();
    let top = stack.top();
    let kind = stack.get_field(at, b"pool_size");
    match stack.number(top + 1) {
        Some(size) if size < 1.0 => return Err(bad(format!("bad \"pool_size\" option value: {}", i64::saturated(size)))),
        Some(size) => options.size = Some(usize::saturated(size)),
        None if kind == Type::Nil => {}
        None => return Err(bad(format!("bad \"pool_size\" option type: {}", kind.name()))),
    }
    stack.get_field(at, b"backlog");
    match stack.number(top + 2) {
        Some(backlog) if backlog < 0.0 => return Err(bad(format!("bad \"backlog\" option value: {}", i64::saturated(backlog)))),
        Some(backlog) => {
            options.backlog = Some(usize::saturated(backlog));
            options.size = options.size.or(usize::try_from(default_size).ok());
        }
        None => {}
    }
    match stack.get_field(at, b"pool") {
        Type::String | Type::Number => options.name = stack.bytes(top + 3).map(<[u8]>::to_vec),
        Type::Nil => {}
        other => return Err(bad(format!("bad \"pool\" option type: {}", other.name()))),
    }
    stack.truncate(top);
    Ok(options)
}

/// Where to: what the arguments say.
struct Target {
    host: String,
    port: Option<u16>,
    key: Vec<u8>,
}

fn target(stack: &mut Stack<'_>, count: usize, name: Option<Vec<u8>>) -> Result<Result<Target, SocketError>, Raise> {
    let host = stack.check_bytes(2, "connect")?.to_vec();
    let mut key = host.clone();
    let port = match stack.number(3).filter(|_| count >= 3) {
        Some(given) => {
            let Some(port) = names::port(given) else { return Ok(Err(format!("bad port number: {}", i64::saturated(given)).into())) };
            key.push(b':');
            key.extend_from_slice(port.to_string().as_bytes());
            Some(port)
        }
        None if names::unix_path(&host).is_some() => None,
        None => return Ok(Err("missing the port number".into())),
    };
    Ok(Ok(Target { host: String::from_utf8_lossy(&host).into_owned(), port, key: name.unwrap_or(key) }))
}

/// `sock:connect(host[, port][, options])`.
///
/// # Errors
/// Wrong arguments, or a socket of another request.
pub fn connect(cx: &CallContext, stack: &mut Stack<'_>) -> Result<Suspension, Raise> {
    check_arguments(stack, 2..=4, "ngx.socket connect: expecting 2, 3, or 4 arguments (including the object), but seen")?;
    let call = call::begin(cx, stack, "connect")?;
    stack.check_bytes(2, "connect")?;
    let mut count = stack.top();
    let pool_size = call.options.pool_size.unwrap_or(30);
    let mut options = PoolOptions::default();
    if stack.kind(count) == Type::Table {
        options = pool_options(stack, count, pool_size)?;
        count -= 1;
    }
    let target = match target(stack, count, options.name.take())? {
        Ok(target) => target,
        Err(error) => return Ok(fail(stack, &error.to_string())),
    };
    stack.push_bytes(&target.key);
    stack.set_item(1, KEY);
    let reporter = call.reporter(cx);
    let socket = match call.socket(stack) {
        Some((_, socket)) => {
            if let Err(text) =
                call.check(&socket, &[Direction::Connecting, Direction::Resolving, Direction::Reading, Direction::Writing])?
            {
                return Ok(fail(stack, text));
            }
            // Connecting a live object closes its old connection first.
            let old = socket.inner.borrow_mut().detach();
            if old.0.is_some() {
                reporter.debug(format_args!("lua tcp socket reconnect without shutting down"));
            }
            reporter.debug(format_args!("lua reuse socket upstream ctx"));
            drop(old);
            socket
        }
        None => enter(&call, stack),
    };
    socket.silent.set(!reporter.is_wordy());
    let timeout = call.timeout(stack, CONNECT_TIMEOUT, call.options.connect_timeout);
    let pool = match options.size {
        Some(size) => {
            if call.hub.pools.find(&target.key).is_none() {
                reporter.pool_made(&target.key, size, options.backlog);
            }
            Some(call.hub.pools.find_or_make(&target.key, size, options.backlog, call.log()))
        }
        None => call.hub.pools.find(&target.key),
    };
    stack.get_item(1, BIND);
    let bind = stack.bytes(stack.top()).and_then(|text| std::str::from_utf8(text).ok()?.parse().ok());
    stack.get_item(1, TRANSPARENT);
    let transparent = stack.truthy(stack.top());
    let alone = cx.is_alone();
    let job = Connect { socket, target, timeout, bind, transparent, reporter, pool, alone, resolving: call.host.resolving() };
    job.start(stack)
}

/// Makes the Rust side of a socket.
fn enter(call: &Call, stack: &mut Stack<'_>) -> Rc<Socket> {
    let (id, socket) = call.hub.open(call.host.resources());
    call.close_with_client(id);
    stack.push_number(id as f64);
    stack.set_item(1, ID);
    socket
}

/// A connect under way.
struct Connect {
    socket: Rc<Socket>,
    target: Target,
    timeout: Duration,
    bind: Option<SocketAddr>,
    transparent: bool,
    reporter: Reporter,
    pool: Option<Rc<Pool>>,
    /// No other thread of the run wants to go on meanwhile.
    alone: bool,
    resolving: Rc<Resolving>,
}

impl Connect {
    fn start(self, stack: &mut Stack<'_>) -> Result<Suspension, Raise> {
        let ticket = match self.pool.as_ref().map(Pool::acquire) {
            None => None,
            Some(Admission::Reuse(stream, reused, ticket)) => {
                let fd = stream.descriptor().map_or(-1, |descriptor| descriptor.as_raw_fd());
                self.reporter.debug(format_args!("lua tcp socket get keepalive peer: using connection, fd:{fd}"));
                self.install(stream, reused + 1, Some(ticket), Label::default());
                return Ok(number(stack, 1.0));
            }
            Some(Admission::Refused) => return Ok(fail(stack, "too many waiting connect operations")),
            Some(Admission::Connect(ticket)) => Some(ticket),
            Some(Admission::Queue(ticket)) => return Ok(self.queue(ticket)),
        };
        let place = match self.place() {
            Ok(place) => place,
            Err(error) => return Ok(fail(stack, &error.to_string())),
        };
        self.reporter.debug(format_args!("lua tcp socket connect timeout: {}", self.timeout.as_millis()));
        Ok(Suspension::wait(|| async move { Ok(self.open(place, ticket).await) }))
    }

    /// Waits for a turn in a full pool.
    fn queue(self, ticket: Ticket) -> Suspension {
        let (key, connections) = (String::from_utf8_lossy(&self.target.key), ticket.connections());
        self.reporter
            .debug(format_args!("lua tcp socket queue connect operation for connection pool \"{key}\", connections: {connections}"));
        let busy = self.socket.begin(Direction::Connecting);
        Suspension::wait(|| async move {
            let _busy = busy;
            Ok(match net::time::timeout(self.timeout, pools::wait(ticket)).await {
                Err(_) => {
                    let Target { host, port, .. } = &self.target;
                    let text = "lua tcp socket queued connect timed out, when trying to connect to";
                    self.reporter.error(&format!("{text} {host}:{}", port.unwrap_or(0)));
                    failure("timeout")
                }
                Ok(Admission::Reuse(stream, reused, ticket)) => {
                    self.install(stream, reused + 1, Some(ticket), Label::default());
                    Reply::One(Value::Number(1.0))
                }
                Ok(Admission::Connect(ticket)) => match self.place() {
                    Ok(place) => self.open(place, Some(ticket)).await,
                    Err(error) => failure(error),
                },
                Ok(_) => failure("error"),
            })
        })
    }

    fn place(&self) -> Result<Destination, SocketError> {
        names::place(&self.target.host, self.target.port.unwrap_or(0), &self.resolving)
    }

    async fn open(self, place: Destination, ticket: Option<Ticket>) -> Reply {
        let resolving = matches!(place, Destination::Named(_)).then(|| self.socket.begin(Direction::Resolving));
        let found = place.find().await;
        drop(resolving);
        let address = match found {
            Ok(address) => address,
            Err(error) => return failure(error),
        };
        let _busy = self.socket.begin(Direction::Connecting);
        let label = Label::new(&self.target.host, self.target.port.unwrap_or(0), &address);
        let options = Options { timeout: Some(self.timeout), bind: self.bind, transparent: self.transparent, ..Options::default() };
        let connected = net::connect::connect(&address, options).await;
        // Other threads go on first, as where the connection takes a moment.
        if !self.alone && matches!(address, SocketAddress::Internet(_)) {
            net::turn::next().await;
        }
        match connected {
            Ok(stream) => {
                self.install(stream, 0, ticket, label);
                Reply::One(Value::Number(1.0))
            }
            Err(ConnectFailure::Peer(error)) if error.kind() == std::io::ErrorKind::TimedOut && error.raw_os_error().is_none() => {
                self.reporter.error(&format!("lua tcp socket connect timed out{label}"));
                failure("timeout")
            }
            Err(failed) => {
                self.log_failure(&address, &failed, &label);
                failure(error_text(failed.error()))
            }
        }
    }

    /// The log line of a connect that failed: what fails at once is graver than what a network does, and not for `lua_socket_log_errors` to decide.
    fn log_failure(&self, address: &SocketAddress, failed: &ConnectFailure, label: &Label) {
        use std::io::ErrorKind::ConnectionRefused;
        let (error, what) = (failed.error(), base::errno::describe(failed.error()));
        match (failed, address) {
            (ConnectFailure::Local { .. }, _) => self.reporter.always(Level::Crit, &format!("{failed}{label}")),
            (_, SocketAddress::Unix(_)) if error.kind() == ConnectionRefused => {
                self.reporter.always(Level::Error, &format!("connect() to {address} failed {what}{label}"));
            }
            (_, SocketAddress::Unix(_)) => self.reporter.always(Level::Crit, &format!("connect() to {address} failed {what}{label}")),
            _ => self.reporter.error(&format!("connect() failed {what}")),
        }
    }

    fn install(&self, stream: Stream, reused: u32, ticket: Option<Ticket>, label: Label) {
        let mut inner = self.socket.inner.borrow_mut();
        inner.install(stream, reused, ticket);
        inner.label = label;
    }
}
