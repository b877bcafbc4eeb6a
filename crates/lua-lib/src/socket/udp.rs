//! `ngx.socket.udp`: datagrams over UDP and unix-domain sockets.

use crate::socket::call::{self, BIND, Call, ID, READ_TIMEOUT, TRANSPARENT, check_arguments, fail, failure, number};
use crate::socket::datagrams::Datagrams;
use crate::socket::label::Label;
use crate::socket::names::SocketError;
use crate::socket::names::{self, Destination};
use crate::socket::pieces;
use crate::socket::report::Reporter;
use crate::socket::state::error_text;
use base::log::Level;
use base::saturated::Saturated;
use lua::{CallContext, PhaseSet, Raise, Reply, Row, Stack, Suspension, Value, YIELDABLE};
use net::address::SocketAddress;
use net::connect::Options;
use net::datagram::Datagram;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::{AsFd, AsRawFd};
use std::rc::Rc;

/// No datagram is received whole beyond this size.
const LARGEST: f64 = 65_536.0;

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
fn udp(_: &CallContext, stack: &mut Stack<'_>) -> Result<usize, Raise> {
    match stack.top() {
        0 => Ok(0),
        count => Err(Raise::new(format!("expecting zero arguments, but got {count}"))),
    }
}

fn find(call: &Call, stack: &mut Stack<'_>) -> Option<(u64, Rc<Datagrams>)> {
    let id = u64::saturated(call::item(stack, ID)?);
    Some((id, call.hub.find_datagrams(id)?))
}

/// The socket, if it has a peer. The inner error is for Lua.
fn open(call: &Call, stack: &mut Stack<'_>, reporter: &Reporter, what: &str) -> Result<Result<Rc<Datagrams>, &'static str>, Raise> {
    let found = find(call, stack).map(|(_, socket)| socket).filter(|socket| socket.socket.borrow().is_some() || socket.is_busy());
    let Some(socket) = found else {
        reporter.error(&format!("attempt to {what} data on a closed socket: u:0000000000000000, c:0000000000000000"));
        return Ok(Err("closed"));
    };
    if !socket.belongs_to(call.host.resources()) {
        return Err("bad request".into());
    }
    Ok(if socket.is_busy() { Err("socket busy") } else { Ok(socket) })
}

fn set_peer_name(cx: &CallContext, stack: &mut Stack<'_>) -> Result<Suspension, Raise> {
    check_arguments(stack, 2..=3, "ngx.socket.udp setpeername: expecting 2 or 3 arguments (including the object), but seen")?;
    let call = call::begin(cx, stack, "setpeername")?;
    let host = String::from_utf8_lossy(stack.check_bytes(2, "setpeername")?).into_owned();
    let port = if stack.top() == 3 { stack.check_number(3, "setpeername")? } else { 0.0 };
    let Some(port) = names::port(port) else { return Ok(fail(stack, &format!("bad port number: {}", i64::saturated(port)))) };
    let reporter = call.reporter(cx);
    let socket = match find(&call, stack) {
        Some((_, socket)) => {
            if !socket.belongs_to(call.host.resources()) {
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
    stack.get_item(1, TRANSPARENT);
    let transparent = stack.truthy(stack.top());
    let peer = Peer { socket, host, port, local, transparent, reporter };
    match names::place(&peer.host, port, &call.host.resolving()) {
        Err(error) => Ok(fail(stack, &error.to_string())),
        Ok(Destination::At(address)) => match peer.connect(&address) {
            Ok(()) => Ok(number(stack, 1.0)),
            Err(error) => Ok(fail(stack, &error.to_string())),
        },
        Ok(place) => {
            let busy = peer.socket.begin();
            Ok(Suspension::wait(|| async move {
                let _busy = busy;
                Ok(match place.find().await.and_then(|address| peer.connect(&address)) {
                    Ok(()) => Reply::One(Value::Number(1.0)),
                    Err(error) => failure(error),
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
    let socket = Rc::new(Datagrams::new(call.host.resources()));
    let id = call.hub.add_datagrams(socket.clone());
    call.close_with_client(id);
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
    transparent: bool,
    reporter: Reporter,
}

impl Peer {
    fn connect(&self, address: &SocketAddress) -> Result<(), SocketError> {
        let label = Label::new(&self.host, self.port, address);
        match Datagram::connect(address, Options { bind: self.local, transparent: self.transparent, ..Options::default() }) {
            Ok(made) => {
                *self.socket.socket.borrow_mut() = Some(Rc::new(made));
                *self.socket.label.borrow_mut() = label;
                Ok(())
            }
            Err(failure) => {
                self.reporter.always(Level::Crit, &format!("{failure}{label}"));
                Err(text_of(failure.error()).into())
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

fn send(cx: &CallContext, stack: &mut Stack<'_>) -> Result<usize, Raise> {
    check_arguments(stack, 2..=2, "expecting 2 arguments (including the object), but got")?;
    let call = call::begin(cx, stack, "send")?;
    let reporter = call.reporter(cx);
    let socket = match open(&call, stack, &reporter, "send")? {
        Ok(socket) => socket,
        Err(text) => return Ok(call::now(fail(stack, text))),
    };
    let mut scratch = call.host.scratch().borrow_mut();
    scratch.clear();
    pieces::push(stack, 2, &mut scratch)?;
    let result = match &*socket.socket.borrow() {
        Some(open) => open.try_send(&scratch),
        None => return Ok(call::now(fail(stack, "closed"))),
    };
    if let (Ok(sent), Some(open)) = (&result, &*socket.socket.borrow()) {
        reporter.debug(format_args!("send: fd:{} {sent} of {}", open.as_fd().as_raw_fd(), scratch.len()));
    }
    Ok(call::now(match result {
        Ok(count) if count == scratch.len() => number(stack, 1.0),
        Ok(_) => fail(stack, "partial write"),
        Err(error) => fail(stack, &text_of(&error)),
    }))
}

fn receive(cx: &CallContext, stack: &mut Stack<'_>) -> Result<Suspension, Raise> {
    check_arguments(stack, 1..=2, "expecting 1 or 2 arguments (including the object), but got")?;
    let call = call::begin(cx, stack, "receive")?;
    let reporter = call.reporter(cx);
    reporter.debug(format_args!("lua udp socket calling receive() method"));
    let socket = match open(&call, stack, &reporter, "receive")? {
        Ok(socket) => socket,
        Err(text) => return Ok(fail(stack, text)),
    };
    let size = if stack.is_nil(2) { LARGEST } else { stack.check_number(2, "receive")? };
    // A negative size is a huge one to C.
    let size = if (0.0..LARGEST).contains(&size) { usize::saturated(size) } else { usize::saturated(LARGEST) };
    let timeout = call.timeout(stack, READ_TIMEOUT, call.options.read_timeout);
    reporter.debug(format_args!("lua udp socket read timeout: {}", timeout.as_millis()));
    reporter.debug(format_args!("lua udp socket receive buffer size: {size}"));
    let Some(open) = socket.socket.borrow().clone() else { return Ok(fail(stack, "closed")) };
    match call.hub.packet(size, |buffer| open.try_receive(buffer), |data| stack.push_bytes(data)) {
        Ok(()) => return Ok(Suspension::Now(1)),
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
        Err(error) => return Ok(fail(stack, &receive_error(&socket, &reporter, &error))),
    }
    let (busy, limit) = (socket.begin(), call.limit(timeout));
    let hub = call.hub.clone();
    Ok(Suspension::wait(|| async move {
        let _busy = busy;
        let receiving = async {
            loop {
                open.readable().await?;
                match hub.packet(size, |buffer| open.receive_ready(buffer), <[u8]>::to_vec) {
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                    result => return result,
                }
            }
        };
        Ok(match limit.bound(receiving).await {
            Ok(Ok(data)) => Reply::One(data.into()),
            Ok(Err(error)) => failure(receive_error(&socket, &reporter, &error).into_bytes()),
            Err(_) => {
                reporter.error(&format!("lua udp socket read timed out{}", socket.label.borrow()));
                failure("timeout")
            }
        })
    }))
}

fn receive_error(socket: &Datagrams, reporter: &Reporter, error: &io::Error) -> String {
    reporter.always(Level::Error, &format!("recv() failed {}{}", base::errno::describe(error), socket.label.borrow()));
    text_of(error)
}

fn bind(cx: &CallContext, stack: &mut Stack<'_>) -> Result<usize, Raise> {
    check_arguments(stack, 2..=2, "expecting 2 arguments, but got")?;
    let call = call::begin(cx, stack, "bind")?;
    let text = String::from_utf8_lossy(stack.check_bytes(2, "bind")?).into_owned();
    let Ok(ip) = text.parse::<IpAddr>() else { return Ok(call::now(fail(stack, "bad address"))) };
    stack.push_bytes(SocketAddr::new(ip, 0).to_string().as_bytes());
    stack.set_item(1, BIND);
    call.reporter(cx).debug(format_args!("lua udp socket bind ip: {ip}"));
    Ok(call::now(number(stack, 1.0)))
}

fn close(cx: &CallContext, stack: &mut Stack<'_>) -> Result<usize, Raise> {
    check_arguments(stack, 1..=1, "expecting 1 argument (including the object) but seen")?;
    let call = call::begin(cx, stack, "close")?;
    let found = find(&call, stack).filter(|(_, socket)| socket.socket.borrow().is_some() || socket.is_busy());
    let Some((_, socket)) = found else { return Ok(call::now(fail(stack, "closed"))) };
    if !socket.belongs_to(call.host.resources()) {
        return Err("bad request".into());
    }
    if socket.is_busy() {
        return Ok(call::now(fail(stack, "socket busy")));
    }
    let reporter = call.reporter(cx);
    reporter.debug(format_args!("lua finalize socket"));
    reporter.debug(format_args!("lua close socket connection"));
    // The number stays its own: a socket that is closed can be given another peer.
    drop(socket.socket.take());
    Ok(call::now(number(stack, 1.0)))
}
