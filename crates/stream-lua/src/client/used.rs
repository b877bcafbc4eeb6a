//! The socket that a method is called on.

use crate::host::Host;
use crate::state::{Client, State};
use base::log::Level;
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
use stream::{Session, log_session};

/// What is said before has not left yet.
pub(super) const BUSY: &str = "socket busy writing";

/// A socket that is used by the code of its session.
pub(crate) struct UsedClient {
    pub(crate) client: Rc<Client>,
    pub(crate) session: Rc<Session>,
    pub(crate) state: Rc<State>,
}

impl ClientSocket for UsedClient {
    fn of_session(cx: &CallContext, id: u64) -> Option<UsedClient> {
        let host = cx.host::<Host>()?;
        let client = host.state.client.get().filter(|client| client.id == id)?.clone();
        Some(UsedClient { client, session: host.session.clone()?, state: host.state.clone() })
    }

    fn socket(&self) -> &Rc<Socket> {
        &self.client.socket
    }

    fn checks_abort(&self) -> bool {
        self.session.conf::<RunOptions>().check_client_abort == Some(true)
    }

    fn poll_receive(&self, receiving: &mut Receiving, cx: &mut Context<'_>) -> Poll<Received> {
        let UsedClient { client, session, state } = self;
        state.pulled.set(false);
        loop {
            let eof = client.has_ended();
            let found =
                receiving.pattern.find(&session.unread(), &mut receiving.scanned, eof).map(|f| (f.used, f.complete, f.data.into_owned()));
            if let Some((count, complete, data)) = found {
                session.skip_preread(count);
                session.count_received(count);
                client.consumed.set(true);
                return Poll::Ready(Received::Found(data, complete));
            }
            if eof {
                return Poll::Ready(Received::Closed);
            }
            match ready!(session.poll_preread(cx)) {
                Ok(1..) => {}
                Ok(0) if receiving.checks => return Poll::Ready(Received::Aborted(None)),
                Ok(0) => client.socket.inner.borrow_mut().eof = true,
                Err(error) => return Poll::Ready(Received::Failed(error)),
            }
        }
    }

    fn take_partial(&self, want: &Pattern, closed: bool) -> Vec<u8> {
        let (data, count) = want.partial(&self.session.unread(), closed);
        self.session.skip_preread(count);
        self.session.count_received(count);
        self.client.consumed.set(true);
        data
    }

    fn has_gone(&self) {
        log_session!(self.session, Level::Info, "stream client prematurely closed connection");
        self.state.abort_known.set(true);
        self.client.socket.inner.borrow_mut().eof = true;
    }

    fn make_way(&self) -> Result<(), &'static str> {
        self.state.waiting.try_send(&self.session);
        if self.state.waiting.is_empty() { Ok(()) } else { Err(BUSY) }
    }

    fn poll_send(&self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.session.poll_write(cx, bytes)
    }

    fn report(&self, call: &'static str, error: &io::Error) {
        log_session!(self.session, Level::Info, "{call} failed {}", base::errno::describe(error));
    }

    fn descriptor(&self) -> Option<RawFd> {
        self.session.with_stream(|stream| stream.descriptor().ok().map(|fd| fd.as_raw_fd())).flatten()
    }
}
