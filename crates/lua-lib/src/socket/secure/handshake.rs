//! `sslhandshake`.

use crate::socket::call::{self, CONNECT_TIMEOUT, Call, ID, fail, failure, item};
use crate::socket::label::Label;
use crate::socket::names::SocketError;
use crate::socket::report::Reporter;
use crate::socket::secure::objects::Objects;
use crate::socket::secure::sessions::log_name;
use crate::socket::state::{Direction, Socket};
use base::log::Level;
use base::saturated::Saturated;
use lua::{CallContext, Raise, Reply, Stack, Suspension, Value};
use net::stream::Stream;
use net::tls::{HandshakeFailure, TlsStream};
use std::rc::Rc;
use std::sync::Arc;
use tls::certificate::Pair;
use tls::resume::Slot;
use tls::verify::ServerVerifier;

/// OpenSSL's number of a certificate that is for another name.
const MISMATCH: u16 = 62;

/// What the script asks for, behind the socket: the number of a session (nil: a fresh one, false: none that could be resumed
/// later), the server's name, whether the server is verified, and the numbers of a certificate and its key.
struct HandshakeArgs {
    session: Option<u64>,
    resumable: bool,
    name: Option<String>,
    verify: bool,
    pair: Option<(f64, f64)>,
}

impl HandshakeArgs {
    fn read(stack: &Stack<'_>) -> HandshakeArgs {
        HandshakeArgs {
            session: stack.number(2).map(u64::saturated),
            resumable: stack.is_nil(2) || stack.number(2).is_some(),
            name: stack.bytes(3).map(|name| String::from_utf8_lossy(name).into_owned()),
            verify: stack.truthy(4),
            pair: stack.number(5).zip(stack.number(6)),
        }
    }

    /// Whom the certificate has to be for.
    fn checked(&self) -> Option<&str> {
        self.name.as_deref().filter(|name| !name.is_empty())
    }
}

/// `sock:sslhandshake(...)`: the number of a session to resume by, or true where the glue knows what to answer.
///
/// # Errors
/// The socket was never connected.
pub fn handshake(cx: &CallContext, stack: &mut Stack<'_>) -> Result<Suspension, Raise> {
    let call = call::begin(cx, stack, "sslhandshake")?;
    let reporter = call.reporter(cx);
    reporter.debug(format_args!("lua tcp socket ssl handshake"));
    let wanted = HandshakeArgs::read(stack);
    let socket = match socket(&call, stack)? {
        Ok(socket) => socket,
        Err(text) => return Ok(fail(stack, text)),
    };
    if let Some(done) = already_secure(&call, &socket, &wanted, &reporter) {
        return Ok(match done {
            Ok(Value::Number(id)) => call::number(stack, id),
            Ok(_) => {
                stack.push_bool(true);
                Suspension::Now(1)
            }
            Err(error) => fail(stack, &error.to_string()),
        });
    }
    let pair = match wanted.pair.map(|(chain, key)| call.host.runtime().state::<Objects>().pair(chain, key)).transpose() {
        Ok(pair) => pair,
        Err(text) => return Ok(fail(stack, text)),
    };
    match Handshake::new(&call, stack, socket, wanted, pair, reporter) {
        Ok(handshake) => Ok(handshake.start()),
        Err(error) => Ok(fail(stack, &error.to_string())),
    }
}

/// The number of the session of a socket's connection (`getsslsession`).
///
/// # Errors
/// The socket was never connected.
pub fn session(cx: &CallContext, stack: &mut Stack<'_>) -> Result<usize, Raise> {
    let call = call::begin(cx, stack, "getsslsession")?;
    let socket = match socket(&call, stack)? {
        Ok(socket) => socket,
        Err(text) => return Ok(call::now(fail(stack, text))),
    };
    let inner = socket.inner.borrow();
    Ok(call::now(match inner.stream.as_ref().and_then(slot) {
        Some(slot) => call::number(stack, push_session(&call, &slot, &call.reporter(cx))),
        None => fail(stack, "no ssl connection"),
    }))
}

/// The socket, if its connection is idle in both directions; the inner error is for Lua.
pub(super) fn socket(call: &Call, stack: &mut Stack<'_>) -> Result<Result<Rc<Socket>, &'static str>, Raise> {
    if item(stack, ID).is_none() {
        return Err(Raise::from("socket is never created nor connected").at_level(2));
    }
    let Some((_, socket)) = call.socket(stack) else { return Ok(Err("closed")) };
    let open = {
        let inner = socket.inner.borrow();
        inner.stream.is_some() && !inner.read_closed && !inner.write_closed
    };
    if !open && socket.busy(&[Direction::Connecting]).is_none() {
        return Ok(Err("closed"));
    }
    if !socket.belongs_to(call.host.resources()) {
        return Ok(Err("bad request"));
    }
    Ok(socket.busy(&[Direction::Connecting, Direction::Resolving, Direction::Reading, Direction::Writing]).map_or(Ok(socket), Err))
}

/// The result where the connection has TLS already. Whoever wants the server verified has it verified, whatever was wanted when
/// it was established: the connection may come from a pool.
fn already_secure(call: &Call, socket: &Rc<Socket>, wanted: &HandshakeArgs, reporter: &Reporter) -> Option<Result<Value, SocketError>> {
    let inner = socket.inner.borrow();
    let stream = inner.stream.as_ref()?;
    stream.tls()?;
    let ready = call.host.secure_options().ready().ok();
    let own = ready.and_then(|ready| ready.servers().cloned());
    let servers = inner.servers.clone().or(own);
    if let Err(text) = verify(stream, wanted, servers.as_ref(), (reporter, &inner.label)) {
        drop(inner);
        drop(socket.inner.borrow_mut().detach());
        return Some(Err(text));
    }
    if wanted.session.is_some() || !wanted.resumable {
        return Some(Ok(Value::Bool(true)));
    }
    Some(Ok(slot(stream).map_or(Value::Bool(true), |slot| Value::Number(push_session(call, &slot, reporter)))))
}

fn slot(stream: &Stream) -> Option<Arc<Slot>> {
    stream.tls()?.client()?.slot().cloned()
}

fn push_session(call: &Call, slot: &Arc<Slot>, reporter: &Reporter) -> f64 {
    reporter.debug(format_args!("lua ssl save session: {}", log_name(slot)));
    call.hub.sessions.add(slot.clone()) as f64
}

/// Verifies the server, where the script wants that.
///
/// # Errors
/// OpenResty's text for a server that is not the one.
fn verify(
    stream: &Stream,
    wanted: &HandshakeArgs,
    servers: Option<&Arc<ServerVerifier>>,
    (reporter, label): (&Reporter, &Label),
) -> Result<(), SocketError> {
    if !wanted.verify {
        return Ok(());
    }
    let found = stream.tls().and_then(TlsStream::client).and_then(|mut session| {
        let first = session.verdict_by(servers, wanted.checked())?;
        // What is wrong with the chain itself comes first.
        let chain = if first.code == MISMATCH { session.verdict_by(servers, None)? } else { first };
        Some((first, chain))
    });
    let Some((first, chain)) = found else { return Err("handshake failed".into()) };
    if !chain.is_ok() {
        let text = format!("{}: {}", chain.code, chain.text());
        reporter.error(&format!("lua ssl certificate verify error: ({text}){label}"));
        return Err(text.into());
    }
    if !first.is_ok() {
        let name = wanted.checked().unwrap_or_default();
        reporter.error(&format!("lua ssl certificate does not match host \"{name}\"{label}"));
        return Err("certificate host mismatch".into());
    }
    Ok(())
}

/// A handshake under way.
struct Handshake {
    call: Call,
    socket: Rc<Socket>,
    args: HandshakeArgs,
    reporter: Reporter,
    slot: Arc<Slot>,
    session: tls::session::ClientSession,
    limit: std::time::Duration,
}

impl Handshake {
    fn new(
        call: &Call,
        stack: &mut Stack<'_>,
        socket: Rc<Socket>,
        wanted: HandshakeArgs,
        pair: Option<Pair>,
        reporter: Reporter,
    ) -> Result<Handshake, SocketError> {
        let limit = call.timeout(stack, CONNECT_TIMEOUT, call.options.connect_timeout);
        let ready = call.host.secure_options().ready();
        let mut settings = ready.map_err(|error| error.to_string())?.settings(pair);
        if let Some(servers) = socket.inner.borrow().servers.clone() {
            settings = settings.with_servers(servers);
        }
        let known = wanted.session.and_then(|id| call.hub.sessions.get(id));
        if let Some(slot) = &known {
            reporter.debug(format_args!("lua ssl set session: {}", log_name(slot)));
        }
        if let Some(name) = &wanted.name {
            reporter.debug(format_args!("lua ssl server name: \"{name}\""));
        }
        let slot = known.unwrap_or_default();
        let session = settings.session(wanted.name.as_deref(), Some(slot.clone()));
        let session = session.map_err(|_| "failed to create ssl connection".to_owned())?;
        let call = Call { host: call.host.clone(), hub: call.hub.clone(), options: call.options.clone() };
        Ok(Handshake { call, socket, args: wanted, reporter, slot, session, limit })
    }

    fn start(self) -> Suspension {
        let busy = self.socket.begin(Direction::Connecting);
        let stream = {
            let mut inner = self.socket.inner.borrow_mut();
            // What came in the clear is nothing that the server said over TLS.
            let unread = inner.unread().len();
            inner.consume(unread);
            inner.stream.take()
        };
        Suspension::wait(|| async move {
            let _busy = busy;
            let Some(stream) = stream else { return Ok(failure("closed")) };
            let Handshake { call, socket, args: wanted, reporter, slot, session, limit } = self;
            let result = match net::time::timeout(limit, net::tls::connect(stream, session)).await {
                Err(_) => Err("timeout".into()),
                Ok(Err(failure)) => {
                    log_failure(&reporter, &failure);
                    Err("handshake failed".into())
                }
                Ok(Ok(stream)) => {
                    log_session(&reporter, &stream);
                    let stream = Stream::Tls(Box::new(stream));
                    verify(&stream, &wanted, None, (&reporter, &socket.inner.borrow().label)).map(|()| stream)
                }
            };
            let mut inner = socket.inner.borrow_mut();
            Ok(match result {
                Ok(stream) => {
                    inner.stream = Some(stream);
                    Reply::One(if wanted.resumable { Value::Number(push_session(&call, &slot, &reporter)) } else { Value::Bool(true) })
                }
                Err(error) => {
                    let gone = inner.detach();
                    drop(gone);
                    failure(error)
                }
            })
        })
    }
}

fn log_session(reporter: &Reporter, stream: &TlsStream<Stream>) {
    if let Some(session) = stream.client().filter(|_| reporter.is_wordy()) {
        reporter.debug(format_args!("SSL_do_handshake: 1"));
        reporter.debug(format_args!("{}", session.summary()));
        if session.is_resumed() {
            reporter.debug(format_args!("SSL reused session"));
        }
    }
}

/// The log line of a handshake that failed, which `lua_socket_log_errors` has no say in.
fn log_failure(reporter: &Reporter, failure: &HandshakeFailure) {
    match failure {
        HandshakeFailure::Tls(error) => {
            let level = if error.is_ordinary() { Level::Error } else { Level::Crit };
            reporter.always(level, &format!("SSL_do_handshake() failed (SSL: {error})"));
        }
        HandshakeFailure::Io(error) => {
            let what = base::errno::describe(error);
            reporter.always(Level::Error, &format!("peer closed connection in SSL handshake {what}"));
        }
        HandshakeFailure::Closed => reporter.always(Level::Error, &failure.to_string()),
    }
}
