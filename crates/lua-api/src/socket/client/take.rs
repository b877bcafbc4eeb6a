//! `ngx.req.socket([raw])`: whether the connection can be had, and what that means for the request.

use crate::host::{Host, request};
use crate::socket::client::state::{Client, Clients, Source};
use crate::state::State;
use base::log::Level;
use http::body::{self, BodyState};
use http::line::Version;
use http::{Request, log_request};
use lua::{CallContext, Raise, Stack};
use std::cell::Cell;
use std::rc::Rc;
use std::task::{Context, Waker};

/// The number of a new socket, or nil and why there is none. The glue makes the object.
///
/// # Errors
/// Wrong arguments, or a request without a connection of its own.
pub fn take(cx: &CallContext, stack: &mut Stack<'_>) -> Result<usize, Raise> {
    let count = stack.top();
    if count > 1 {
        return Err(Raise::new(format!("expecting 0 or 1 argument, but got {count}")));
    }
    let raw = count == 1 && stack.truthy(1);
    let (host, request) = request(cx)?;
    if !request.is_main() {
        return Err("attempt to read the request body in a subrequest".into());
    }
    let source = if raw { take_raw(&request, &host.state)? } else { take_body(&request) };
    match source {
        Ok(source) => {
            stack.push_number(enter(&host, &request, source)? as f64);
            Ok(1)
        }
        Err(text) => {
            stack.push_nil();
            stack.push_bytes(text.as_bytes());
            Ok(2)
        }
    }
}

fn enter(host: &Host, request: &Request, source: Source) -> Result<u64, Raise> {
    let hub = host.hub.as_ref().ok_or("no request found")?;
    let (id, socket) = hub.open(&host.state.common.resources);
    host.state.common.resources.sockets.add(hub, id);
    request.context::<Clients>().add(Client { id, socket, source });
    Ok(id)
}

fn take_body(request: &Rc<Request>) -> Result<Source, &'static str> {
    if request.headers.borrow().get(b"transfer-encoding").is_some() {
        return Err("chunked request bodies not supported yet");
    }
    let body = request.body.borrow().clone();
    let taken = request.context::<Clients>().body_remaining().is_some();
    let length = match body.state() {
        _ if taken || body.is_being_read() => return Err("request body already exists"),
        BodyState::Read if !body.is_none() => return Err("request body already exists"),
        BodyState::Discarded => return Err("request body discarded"),
        // Streams tell by themselves when a body of unknown length ends.
        BodyState::Unread if body.length().is_none() && request.version() >= Version::Http2 => u64::MAX,
        _ => body.length().filter(|length| *length > 0).ok_or("no body")?,
    };
    body::send_continue(request);
    // Nobody else reads it from here on.
    body.set_state(BodyState::Read);
    request.flags.body_untimed.set(true);
    Ok(Source::Body(Cell::new(length)))
}

fn take_raw(request: &Rc<Request>, state: &State) -> Result<Result<Source, &'static str>, Raise> {
    if request.context::<Clients>().body_remaining().is_some_and(|left| left > 0) || request.body.borrow().is_being_read() {
        return Ok(Err("pending request body reading in some other thread"));
    }
    // What the handler has sent leaves first.
    if request.wire.poll_drain(&mut Context::from_waker(Waker::noop()), 0).is_pending() {
        return Ok(Err("pending data to write"));
    }
    if state.buffering.get() {
        return Ok(Err("http 1.0 buffering"));
    }
    let tunnel = request.wire.clone().tunnel(request).ok_or("the connection cannot be had raw with this protocol")?;
    if request.with_location(|location| location.core.tcp_nodelay.unwrap_or(true)) {
        log_request!(request, Level::Debug, "lua socket tcp_nodelay");
    }
    // Whoever has the connection makes the whole response: nobody else may send a head, and nothing follows.
    request.flags.header_sent.set(true);
    if state.raw_socket.replace(true) {
        return Ok(Err("duplicate call"));
    }
    request.flags.output_ended.set(true);
    request.flags.keepalive.set(false);
    request.flags.lingers.set(true);
    let body = request.body.borrow().clone();
    if body.state() == BodyState::Unread {
        body.set_state(BodyState::Read);
    }
    Ok(Ok(Source::Raw(tunnel)))
}
