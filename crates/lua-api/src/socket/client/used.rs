//! The socket that a method is called on.

use crate::host::Host;
use crate::socket::client::state::{Client, Clients, Fill, Source};
use crate::state::State;
use base::log::Level;
use http::{Request, log_request};
use lua::CallContext;
use lua_lib::socket::scan::Pattern;
use lua_lib::socket::state::Socket;
use lua_session::client::ClientSocket;
use lua_session::client::read::{Received, Receiving};
use lua_session::options::RunOptions;
use std::io;
use std::os::fd::{AsRawFd, RawFd};
use std::rc::Rc;
use std::task::{Context, Poll, ready};

/// A socket that is used by the code of its request.
pub struct UsedClient {
    client: Rc<Client>,
    request: Rc<Request>,
    state: Rc<State>,
}

impl ClientSocket for UsedClient {
    fn of_session(cx: &CallContext, id: u64) -> Option<UsedClient> {
        let host = cx.host::<Host>()?;
        let request = host.session.clone()?;
        let client = request.find_context::<Clients>()?.find(id)?;
        Some(UsedClient { client, request, state: host.state.clone() })
    }

    fn socket(&self) -> &Rc<Socket> {
        &self.client.socket
    }

    fn checks_abort(&self) -> bool {
        self.request.conf::<RunOptions>().check_client_abort == Some(true)
    }

    fn poll_receive(&self, receiving: &mut Receiving, cx: &mut Context<'_>) -> Poll<Received> {
        let mut inner = self.client.socket.inner.borrow_mut();
        let inner = &mut *inner;
        loop {
            if let Some(found) = receiving.pattern.find(inner.unread(), &mut receiving.scanned, inner.eof) {
                let (used, complete, data) = (found.used, found.complete, found.data.into_owned());
                inner.consume(used);
                let all_here = self.client.remaining() == Some(0) && inner.unread().is_empty();
                if receiving.checks && all_here && self.request.wire.poll_gone(cx).is_ready() {
                    log_request!(self.request, Level::Info, "client prematurely closed connection");
                    return Poll::Ready(Received::Aborted(Some(data)));
                }
                return Poll::Ready(Received::Found(data, complete));
            }
            if inner.eof {
                return Poll::Ready(Received::Closed);
            }
            if inner.at > 0 {
                inner.input.drain(..inner.at);
                inner.at = 0;
            }
            match ready!(self.client.poll_fill(cx, &self.request, &mut inner.input, receiving.room, receiving.checks)) {
                Fill::More => {}
                Fill::End => inner.eof = true,
                Fill::Aborted => return Poll::Ready(Received::Aborted(None)),
                Fill::Failed(error) => return Poll::Ready(Received::Failed(error)),
            }
        }
    }

    fn take_partial(&self, want: &Pattern, closed: bool) -> Vec<u8> {
        let mut inner = self.client.socket.inner.borrow_mut();
        let (data, used) = want.partial(inner.unread(), closed);
        inner.consume(used);
        data
    }

    fn has_gone(&self) {
        self.state.abort_known.set(true);
    }

    fn poll_send(&self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let Source::Raw(tunnel) = &self.client.source else { return Poll::Ready(Err(io::ErrorKind::Unsupported.into())) };
        let sent = ready!(tunnel.poll_write(cx, bytes));
        if let Ok(count) = sent {
            self.request.bytes_sent.set(self.request.bytes_sent.get() + count as u64);
        }
        Poll::Ready(sent)
    }

    fn report(&self, call: &'static str, error: &io::Error) {
        log_request!(self.request, Level::Info, "{call} failed {}", base::errno::describe(error));
    }

    fn descriptor(&self) -> Option<RawFd> {
        let mut number = None;
        self.request.wire.with_descriptor(&mut |fd| number = Some(fd.as_raw_fd()));
        number
    }
}
