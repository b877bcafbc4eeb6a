//! `serversslhandshake`: TLS on a connection that began in the clear (STARTTLS).

use crate::client::used::UsedClient;
use lua::{CallContext, Raise, Reply, Stack, Suspension};
use lua_lib::socket::call::{self, READ_TIMEOUT, fail, failure};
use lua_lib::socket::state::Direction;
use lua_session::client::ClientSocket;
use session::tls::TlsInfo;
use std::rc::Rc;
use std::time::Duration;
use stream::{Server, handshake};
use tls::server::alert_record;

/// `sock:serversslhandshake()`: a table with what was agreed on.
pub(super) fn server_handshake(cx: &CallContext, stack: &mut Stack<'_>) -> Result<Suspension, Raise> {
    let count = stack.top();
    if count != 1 {
        return Err(Raise::new(format!("ngx.socket serversslhandshake: expecting 1 argument (the object), but seen {count}")));
    }
    let call = call::begin(cx, stack, "serversslhandshake")?;
    call.reporter(cx).debug(format_args!("lua tcp socket server ssl handshake"));
    let open = |used: &UsedClient| {
        let inner = used.client.socket.inner.borrow();
        !inner.read_closed && !inner.write_closed
    };
    let Some(used) = UsedClient::find(cx, &call, stack)?.filter(open) else { return Ok(fail(stack, "closed")) };
    if let Err(text) = call.check(&used.client.socket, &[Direction::Connecting, Direction::Reading, Direction::Writing])? {
        return Ok(fail(stack, text));
    }
    if let Err(text) = used.make_way() {
        return Ok(fail(stack, text));
    }
    if let Some(info) = used.session.connection.tls_info() {
        return Ok(Suspension::wait(|| async move { Ok(agreed(&info)) }));
    }
    if used.session.server().tls.handshakes.get().is_none() {
        return Ok(fail(stack, "ssl not configured for this server"));
    }
    let timeout = call.timeout(stack, READ_TIMEOUT, call.options.read_timeout);
    let busy = used.client.socket.begin(Direction::Connecting);
    Ok(Suspension::wait(|| async move {
        let _busy = busy;
        Ok(handshake(&used, timeout).await)
    }))
}

async fn handshake(used: &UsedClient, timeout: Duration) -> Reply {
    let session = &used.session;
    let mut limit = session.limit(u64::try_from(timeout.as_millis()).unwrap_or(u64::MAX));
    match handshake::open(session, &mut limit).await {
        Ok(stream) => {
            session.put_stream(stream);
            match session.connection.tls_info() {
                Some(info) => agreed(&info),
                None => failure("handshake failed"),
            }
        }
        Err(failed) => {
            let timed_out = failed.is_none();
            for (level, line) in failed.iter().flat_map(|failed| &failed.lines) {
                session.log(*level, line.as_bytes());
            }
            if let Some(alert) = failed.and_then(|failed| failed.alert) {
                // Who does not take seven bytes learns nothing.
                session.with_stream(|stream| stream.try_write(&alert_record(alert)));
            }
            session.connection.tls.take();
            let mut inner = used.client.socket.inner.borrow_mut();
            (inner.read_closed, inner.write_closed) = (true, true);
            used.state.eof.set(true);
            failure(if timed_out { "timeout" } else { "handshake failed" })
        }
    }
}

fn agreed(info: &Rc<TlsInfo<Server>>) -> Reply {
    let info = info.clone();
    Reply::with(move |stack| {
        stack.push_table(0, 3);
        let table = stack.top();
        for (name, text) in [("protocol", info.protocol), ("cipher", info.cipher)] {
            stack.push_bytes(text.as_bytes());
            stack.set_field(table, name.as_bytes());
        }
        stack.push_bool(info.resumed);
        stack.set_field(table, b"session_reused");
        Ok(1)
    })
}
