//! `ngx.socket.udp`: datagrams over UDP and unix-domain sockets.

use crate::api::output::push_value;
use crate::socket::call::{self, BIND, Call, ID, READ_TIMEOUT, expect, fail, failure, number};
use crate::socket::datagrams::Datagrams;
use crate::socket::names::{self, Place};
use crate::socket::report::Reporter;
use crate::socket::state::error_text;
use http::resolving::Resolving;
use lua::{Cx, Later, PhaseSet, Raise, Reply, Row, Stack, Type, Value, YIELDABLE};
use net::address::Address;
use net::datagram::Datagram;
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;

/// No datagram is received whole beyond this size.
const LARGEST: f64 = 65_536.0;
/// What is received where the call does not say.
const USUAL: f64 = 8_192.0;

/// The rows of `ngx.socket.udp`.
pub(super) fn rows() -> Vec<Row> {
    let at = YIELDABLE;
    vec![
        Row::calls("udp", at, udp),
        Row::suspends("udp_setpeername", at, set_peer_name),
        Row::calls("udp_send", PhaseSet::EVERYWHERE, send),
        Row::suspends("udp_receive", at, receive),
        Row::calls("udp_bind", at, bind),
        Row::calls("udp_close", PhaseSet::EVERYWHERE, close),
    ]
}

/// Checks a call of `ngx.socket.udp`; the glue makes the object.
fn udp(_: &Cx, stack: &mut Stack<'_>) -> Result<usize, Raise> {
    match stack.top() {
        0 => Ok(0),
        count => Err(Raise::new(format!("expecting zero arguments, but got {count}")).at_level(2)),
    }
}

fn find(call: &Call, stack: &mut Stack<'_>) -> Option<(u64, Rc<Datagrams>)> {
    let id = call::item(stack, ID)? as u64;
    Some((id, call.hub.find_datagrams(id)?))
}

/// The socket, if it has a peer. The inner error is for Lua.
fn open(call: &Call, stack: &mut Stack<'_>, reporter: &Reporter, what: &str) -> Result<Result<Rc<Datagrams>, &'static str>, Raise> {
    let found = find(call, stack).map(|(_, socket)| socket).filter(|socket| socket.socket.borrow().is_some() || socket.is_busy());
    let Some(socket) = found else {
        reporter.error(&format!("attempt to {what} data on a closed socket: u:0000000000000000, c:0000000000000000"));
        return Ok(Err("closed"));
    };
    if !socket.belongs_to(&call.host.state) {
        return Err("bad request".into());
    }
    Ok(if socket.is_busy() { Err("socket busy") } else { Ok(socket) })
}

fn set_peer_name(cx: &Cx, stack: &mut Stack<'_>) -> Result<Later, Raise> {
    expect(stack, 2..=3, "ngx.socket.udp setpeername: expecting 2 or 3 arguments (including the object), but seen")?;
    let call = call::begin(cx, stack, "setpeername")?;
    let host = String::from_utf8_lossy(stack.check_bytes(2, "setpeername")?).into_owned();
    let port = if stack.top() == 3 { stack.check_number(3, "setpeername")? } else { 0.0 };
    let Some(port) = names::port(port) else { return Ok(fail(stack, &format!("bad port number: {}", port as i64))) };
    let reporter = call.reporter(cx);
    let socket = match find(&call, stack) {
        Some((_, socket)) => {
            if !socket.belongs_to(&call.host.state) {
                return Err("bad request".into());
            }
            if socket.is_busy() {
                return Ok(fail(stack, "socket busy"));
            }
            if socket.socket.take().is_some() {
                reporter.debug(format_args!("lua udp socket reconnect without shutting down"));
            }
            reporter.debug(format_args!("lua reuse socket upstream ctx"));
            socket
        }
        None => enter(&call, stack),
    };
    let local = bound(stack);
    let peer = Peer { socket, host, port, local, reporter };
    match names::place(&peer.host, port, &call.host.conf::<Resolving>()) {
        Err(text) => Ok(fail(stack, &text)),
        Ok(Place::At(address)) => match peer.connect(&address) {
            Ok(()) => Ok(number(stack, 1.0)),
            Err(text) => Ok(fail(stack, &text)),
        },
        Ok(place) => {
            let busy = peer.socket.begin();
            Ok(Later::wait(async move {
                let _busy = busy;
                Ok(match place.find().await.and_then(|address| peer.connect(&address)) {
                    Ok(()) => Reply::One(Value::Number(1.0)),
                    Err(text) => failure(text.into_bytes()),
                })
            }))
        }
    }
}

fn bound(stack: &mut Stack<'_>) -> Option<SocketAddr> {
    let top = stack.top();
    stack.get_item(1, BIND);
    let local = stack.bytes(top + 1).and_then(|text| std::str::from_utf8(text).ok()?.parse().ok());
    stack.truncate(top);
    local
}

/// Makes the Rust side of a socket.
fn enter(call: &Call, stack: &mut Stack<'_>) -> Rc<Datagrams> {
    let socket = Rc::new(Datagrams::new(&call.host.state));
    let id = call.hub.add_datagrams(socket.clone());
    call.host.state.sockets.add(&call.hub, id);
    stack.push_number(id as f64);
    stack.set_item(1, ID);
    socket
}

/// A peer to be connected to.
struct Peer {
    socket: Rc<Datagrams>,
    host: String,
    port: u16,
    local: Option<SocketAddr>,
    reporter: Reporter,
}

impl Peer {
    fn connect(&self, address: &Address) -> Result<(), String> {
        let label = match address {
            Address::Internet(to) => format!(", upstream: {}:{}({})", self.host, self.port, to),
            Address::Unix(_) => format!(", upstream: {}", self.host),
        };
        match Datagram::connect(address, self.local) {
            Ok(made) => {
                *self.socket.socket.borrow_mut() = Some(Rc::new(made));
                *self.socket.label.borrow_mut() = label;
                Ok(())
            }
            Err(error) => {
                self.reporter.critical(&format!("connect() failed {}{label}", base::errno::describe(&error)));
                Err(text_of(&error))
            }
        }
    }
}

fn text_of(error: &io::Error) -> String {
    match error_text(error) {
        Value::Bytes(text) => String::from_utf8_lossy(&text).into_owned(),
        _ => "error".to_owned(),
    }
}

fn send(cx: &Cx, stack: &mut Stack<'_>) -> Result<usize, Raise> {
    expect(stack, 2..=2, "expecting 2 arguments (including the object), but got")?;
    let call = call::begin(cx, stack, "send")?;
    let reporter = call.reporter(cx);
    let socket = match open(&call, stack, &reporter, "send")? {
        Ok(socket) => socket,
        Err(text) => return Ok(call::now(fail(stack, text))),
    };
    let mut scratch = call.host.scratch.borrow_mut();
    scratch.clear();
    match stack.kind(2) {
        Type::Number | Type::String | Type::Nil | Type::Boolean | Type::Table => push_value(stack, 2, 2, "send", &mut scratch)?,
        other => {
            let text = format!("string, number, boolean, nil, or array table expected, got {}", other.name());
            return Err(Raise::argument(2, "send", &text));
        }
    }
    let result = match &*socket.socket.borrow() {
        Some(open) => open.try_send(&scratch),
        None => return Ok(call::now(fail(stack, "closed"))),
    };
    Ok(call::now(match result {
        Ok(count) if count == scratch.len() => number(stack, 1.0),
        Ok(_) => fail(stack, "partial write"),
        Err(error) => fail(stack, &text_of(&error)),
    }))
}

fn receive(cx: &Cx, stack: &mut Stack<'_>) -> Result<Later, Raise> {
    expect(stack, 1..=2, "expecting 1 or 2 arguments (including the object), but got")?;
    let call = call::begin(cx, stack, "receive")?;
    let reporter = call.reporter(cx);
    reporter.debug(format_args!("lua udp socket calling receive() method"));
    let socket = match open(&call, stack, &reporter, "receive")? {
        Ok(socket) => socket,
        Err(text) => return Ok(fail(stack, text)),
    };
    let size = if stack.is_nil(2) { USUAL } else { stack.check_number(2, "receive")? };
    // A negative size is a huge one to C.
    let size = if (0.0..LARGEST).contains(&size) { size as usize } else { LARGEST as usize };
    let timeout = call.timeout(stack, READ_TIMEOUT, call.options.read_timeout);
    reporter.debug(format_args!("lua udp socket read timeout: {}", timeout.as_millis()));
    reporter.debug(format_args!("lua udp socket receive buffer size: {size}"));
    let Some(open) = socket.socket.borrow().clone() else { return Ok(fail(stack, "closed")) };
    let mut buffer = vec![0; size];
    match open.try_receive(&mut buffer) {
        Ok(length) => {
            stack.push_bytes(buffer.get(..length).unwrap_or_default());
            return Ok(Later::Now(1));
        }
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
        Err(error) => return Ok(fail(stack, &lost(&socket, &reporter, &error))),
    }
    let busy = socket.begin();
    Ok(Later::wait(async move {
        let _busy = busy;
        Ok(match tokio::time::timeout(timeout, open.receive(&mut buffer)).await {
            Ok(Ok(length)) => {
                buffer.truncate(length);
                Reply::One(buffer.into())
            }
            Ok(Err(error)) => failure(lost(&socket, &reporter, &error).into_bytes()),
            Err(_) => {
                reporter.error(&format!("lua udp socket read timed out{}", socket.label.borrow()));
                failure("timeout")
            }
        })
    }))
}

fn lost(socket: &Datagrams, reporter: &Reporter, error: &io::Error) -> String {
    reporter.error(&format!("recv() failed {}{}", base::errno::describe(error), socket.label.borrow()));
    text_of(error)
}

fn bind(cx: &Cx, stack: &mut Stack<'_>) -> Result<usize, Raise> {
    expect(stack, 2..=2, "expecting 2 arguments, but got")?;
    call::begin(cx, stack, "bind")?;
    let text = String::from_utf8_lossy(stack.check_bytes(2, "bind")?).into_owned();
    let Some(ip) = names::literal(&text) else { return Ok(call::now(fail(stack, "bad address"))) };
    stack.push_bytes(SocketAddr::new(ip, 0).to_string().as_bytes());
    stack.set_item(1, BIND);
    Ok(call::now(number(stack, 1.0)))
}

fn close(cx: &Cx, stack: &mut Stack<'_>) -> Result<usize, Raise> {
    expect(stack, 1..=1, "expecting 1 argument (including the object) but seen")?;
    let call = call::begin(cx, stack, "close")?;
    let found = find(&call, stack).filter(|(_, socket)| socket.socket.borrow().is_some() || socket.is_busy());
    let Some((id, socket)) = found else { return Ok(call::now(fail(stack, "closed"))) };
    if !socket.belongs_to(&call.host.state) {
        return Err("bad request".into());
    }
    if socket.is_busy() {
        return Ok(call::now(fail(stack, "socket busy")));
    }
    let reporter = call.reporter(cx);
    reporter.debug(format_args!("lua finalize socket"));
    reporter.debug(format_args!("lua close socket connection"));
    call.hub.remove(id);
    call.host.state.sockets.remove(id);
    Ok(call::now(number(stack, 1.0)))
}
