//! TLS on a socket, from which `stream::Stream` makes a stream like others.
//!
//! A worker has one set of buffers for all of its sessions. What a socket gives is decrypted at once, so that a
//! connection keeps only part of a record, if anything; what a socket does not take is kept here.

pub mod client_certificate;
mod state;

use state::{Session, State, either, flush, flush_owed, receive, seal, send};
use std::cell::{Ref, RefCell, RefMut};
use std::fmt;
use std::io::{self, IoSlice};
use std::os::fd::BorrowedFd;
use std::task::{Context, Poll, ready};

use tls::buffer::Buffers;
use tls::error::TlsError;
use tls::session::{ClientSession, ServerSession};

/// How much is read from a socket at once: a record that is full, and some.
const ROOM: usize = 20 * 1024;

/// How much is sealed for one write: what a socket's buffer usually takes.
const MOST: usize = 64 * 1024;

thread_local! {
    /// The worker's buffers.
    static BUFFERS: RefCell<Worker> = RefCell::default();
}

#[derive(Default)]
struct Worker {
    buffers: Buffers,
    /// A piece of a file that is to be sealed.
    file: Vec<u8>,
}

/// What TLS stands on.
pub trait Socket {
    /// Appends what has arrived to `into`; 0 is the end. Never waits.
    ///
    /// # Errors
    /// `WouldBlock` when nothing is there, otherwise what recv(2) reports.
    fn try_read(&self, into: &mut Vec<u8>) -> io::Result<usize>;
    /// As [`Socket::try_read`], but arranges a wake-up when nothing is there.
    fn poll_read(&mut self, cx: &mut Context<'_>, into: &mut Vec<u8>) -> Poll<io::Result<usize>>;
    /// Writes what the socket takes now. Never waits.
    ///
    /// # Errors
    /// `WouldBlock` when it takes nothing, otherwise what write(2) reports.
    fn try_write(&self, bytes: &[u8]) -> io::Result<usize>;
    /// Ready when a write would not wait.
    fn poll_write_ready(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>>;
    /// Whether this is TLS itself: TLS inside of TLS is not offered, as both would want the worker's buffers.
    fn is_tls(&self) -> bool;
}

/// A socket with a session of TLS.
#[derive(Debug)]
pub struct TlsStream<S> {
    socket: S,
    state: RefCell<State>,
}

/// Why a handshake did not happen.
#[derive(Debug)]
pub enum HandshakeFailure {
    /// Something is wrong with it; the peer was told.
    Tls(TlsError),
    /// The connection failed.
    Io(io::Error),
    /// The peer closed the connection.
    Closed,
}

impl fmt::Display for HandshakeFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            HandshakeFailure::Tls(error) => error.fmt(f),
            HandshakeFailure::Io(error) => error.fmt(f),
            HandshakeFailure::Closed => f.write_str("peer closed connection in SSL handshake"),
        }
    }
}

impl std::error::Error for HandshakeFailure {}

/// A session without its socket, while a connection is parked.
#[derive(Debug)]
pub struct Parked(Box<Session>);

/// Answers a client's handshake. `first` are bytes that were read from the socket already. Comes back early with early
/// data, if any is allowed: the handshake then goes on behind the first reads.
///
/// # Errors
/// When there is no session in the end.
pub async fn accept<S: Socket>(socket: S, session: ServerSession, first: &[u8]) -> Result<TlsStream<S>, HandshakeFailure> {
    let mut stream = TlsStream::new(plain(socket)?, Session::Server(session));
    stream.take(first).map_err(HandshakeFailure::from)?;
    stream.handshake().await?;
    Ok(stream)
}

/// Performs the handshake with a server.
///
/// # Errors
/// When there is no session in the end. Whether the server is the one that is wanted is asked afterwards,
/// [`ClientSession::verdict`].
pub async fn connect<S: Socket>(socket: S, session: ClientSession) -> Result<TlsStream<S>, HandshakeFailure> {
    let mut stream = TlsStream::new(plain(socket)?, Session::Client(session));
    stream.take(&[]).map_err(HandshakeFailure::from)?;
    stream.handshake().await?;
    Ok(stream)
}

fn plain<S: Socket>(socket: S) -> Result<S, HandshakeFailure> {
    if socket.is_tls() { Err(HandshakeFailure::Io(io::ErrorKind::InvalidInput.into())) } else { Ok(socket) }
}

impl From<io::Error> for HandshakeFailure {
    fn from(error: io::Error) -> Self {
        match error.get_ref().and_then(|inner| inner.downcast_ref::<TlsError>()) {
            Some(inner) => HandshakeFailure::Tls(inner.clone()),
            None => HandshakeFailure::Io(error),
        }
    }
}

impl<S: Socket> TlsStream<S> {
    fn new(socket: S, session: Session) -> Self {
        let state = State { session, plain: Vec::new(), outbox: Vec::new(), sent: 0, owed: 0, cut: false };
        Self { socket, state: RefCell::new(state) }
    }

    /// The server's side of the session; `None` on a client.
    pub fn server(&self) -> Option<RefMut<'_, ServerSession>> {
        RefMut::filter_map(self.state.borrow_mut(), |state| match &mut state.session {
            Session::Server(session) => Some(session),
            Session::Client(_) => None,
        })
        .ok()
    }

    /// The client's side of the session; `None` on a server.
    pub fn client(&self) -> Option<RefMut<'_, ClientSession>> {
        RefMut::filter_map(self.state.borrow_mut(), |state| match &mut state.session {
            Session::Client(session) => Some(session),
            Session::Server(_) => None,
        })
        .ok()
    }

    /// Whether the stream ended without close_notify, so that someone between may have cut it.
    #[must_use]
    pub fn is_cut(&self) -> bool {
        self.state.borrow().cut
    }

    /// The socket below.
    #[must_use]
    pub fn socket(&self) -> &S {
        &self.socket
    }

    /// The socket below.
    pub(crate) fn socket_mut(&mut self) -> &mut S {
        &mut self.socket
    }

    async fn handshake(&mut self) -> Result<(), HandshakeFailure> {
        loop {
            std::future::poll_fn(|cx| self.poll_flush(cx)).await?;
            {
                let state = self.state.get_mut();
                if !either!(&state.session, session => session.is_handshaking()) || !state.plain.is_empty() {
                    return Ok(());
                }
            }
            let mut plain = std::mem::take(&mut self.state.get_mut().plain);
            let read = std::future::poll_fn(|cx| self.poll_receive(cx, &mut plain)).await;
            self.state.get_mut().plain = plain;
            if read? == 0 {
                return Err(HandshakeFailure::Closed);
            }
        }
    }

    /// Gives bytes that were read elsewhere to the session.
    fn take(&self, bytes: &[u8]) -> io::Result<()> {
        let mut plain = Vec::new();
        self.with(|state, worker| {
            worker.buffers.incoming.extend_from_slice(bytes);
            receive(&self.socket, state, &mut worker.buffers, &mut plain)?;
            state.plain.append(&mut plain);
            Ok(())
        })
    }

    fn with<T>(&self, work: impl FnOnce(&mut State, &mut Worker) -> io::Result<T>) -> io::Result<T> {
        let mut state = self.state.try_borrow_mut().map_err(io::Error::other)?;
        BUFFERS.with_borrow_mut(|worker| work(&mut state, worker))
    }

    /// Decrypts what one read gives. 0 is the end of the connection, otherwise the number of bytes read, whether or not
    /// they gave plaintext.
    fn decrypt(&self, into: &mut Vec<u8>, read: impl FnOnce(&mut Vec<u8>) -> io::Result<usize>) -> io::Result<usize> {
        self.with(|state, worker| {
            let incoming = &mut worker.buffers.incoming;
            incoming.clear();
            incoming.reserve(ROOM);
            let count = read(incoming)?;
            if count == 0 {
                state.cut = !either!(&state.session, session => session.is_peer_closed());
                return Ok(0);
            }
            receive(&self.socket, state, &mut worker.buffers, into)?;
            Ok(count)
        })
    }

    /// Plaintext that is there without asking the socket, or the end.
    fn take_plaintext(&self, into: &mut Vec<u8>) -> Option<usize> {
        let mut state = self.state.try_borrow_mut().ok()?;
        if !state.plain.is_empty() {
            let count = state.plain.len();
            into.append(&mut std::mem::take(&mut state.plain));
            return Some(count);
        }
        either!(&state.session, session => session.is_peer_closed()).then_some(0)
    }

    /// As `Stream::try_read`.
    pub(crate) fn try_read(&self, into: &mut Vec<u8>) -> io::Result<usize> {
        if let Some(count) = self.take_plaintext(into) {
            return Ok(count);
        }
        let before = into.len();
        loop {
            let read = self.decrypt(into, |incoming| self.socket.try_read(incoming))?;
            if into.len() > before || read == 0 {
                return Ok(into.len() - before);
            }
            if let Some(count) = self.take_plaintext(into) {
                return Ok(count);
            }
        }
    }

    /// As `Stream::poll_read`.
    pub(crate) fn poll_read(&mut self, cx: &mut Context<'_>, into: &mut Vec<u8>) -> Poll<io::Result<usize>> {
        if let Some(count) = self.take_plaintext(into) {
            return Poll::Ready(Ok(count));
        }
        let before = into.len();
        loop {
            let read = ready!(self.poll_receive(cx, into))?;
            if into.len() > before || read == 0 {
                return Poll::Ready(Ok(into.len() - before));
            }
            if let Some(count) = self.take_plaintext(into) {
                return Poll::Ready(Ok(count));
            }
        }
    }

    fn poll_receive(&mut self, cx: &mut Context<'_>, into: &mut Vec<u8>) -> Poll<io::Result<usize>> {
        let Self { socket, state } = self;
        let state = state.get_mut();
        BUFFERS.with_borrow_mut(|worker| {
            let incoming = &mut worker.buffers.incoming;
            incoming.clear();
            incoming.reserve(ROOM);
            let count = ready!(socket.poll_read(cx, incoming))?;
            if count == 0 {
                state.cut = !either!(&state.session, session => session.is_peer_closed());
                return Poll::Ready(Ok(0));
            }
            receive(socket, state, &mut worker.buffers, into)?;
            Poll::Ready(Ok(count))
        })
    }

    /// As `Stream::try_write_vectored`, but what was once taken in part has to be given again first: its records are
    /// made and only wait for the socket.
    pub(crate) fn try_write(&self, pieces: &[IoSlice<'_>]) -> io::Result<usize> {
        self.with(|state, worker| {
            if let Some(count) = flush_owed(&self.socket, state)? {
                return Ok(count);
            }
            seal(&self.socket, state, &mut worker.buffers, pieces)
        })
    }

    /// As `Stream::poll_write_vectored`, with the same condition as [`TlsStream::try_write`].
    pub(crate) fn poll_write(&mut self, cx: &mut Context<'_>, pieces: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
        loop {
            match self.try_write(pieces) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => ready!(self.socket.poll_write_ready(cx))?,
                result => return Poll::Ready(result),
            }
        }
    }

    /// As `Stream::try_send_file`: reads a piece of the file and seals it.
    pub(crate) fn try_send_file(&self, file: BorrowedFd<'_>, offset: u64, count: usize) -> io::Result<usize> {
        self.with(|state, worker| {
            if let Some(count) = flush_owed(&self.socket, state)? {
                return Ok(count);
            }
            worker.file.clear();
            if sys::descriptor::read_at(file, &mut worker.file, offset, count.min(MOST))? == 0 {
                return Ok(0);
            }
            seal(&self.socket, state, &mut worker.buffers, &[IoSlice::new(&worker.file)])
        })
    }

    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        loop {
            match flush(&self.socket, self.state.get_mut()) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => ready!(self.socket.poll_write_ready(cx))?,
                result => return Poll::Ready(result),
            }
        }
    }

    /// Whether plaintext is there already, which no event of the socket tells.
    pub(crate) fn has_plaintext(&self) -> bool {
        self.state.try_borrow().is_ok_and(|state| !state.plain.is_empty())
    }

    /// As `Stream::is_quiet`; tickets and key updates are taken and are no end of the silence.
    pub(crate) fn is_quiet(&self) -> bool {
        let mut plain = Vec::new();
        let read = self.try_read(&mut plain);
        let kept = self.with(|state, _| {
            state.plain.append(&mut plain);
            Ok(state.plain.is_empty())
        });
        read.is_err_and(|error| error.kind() == io::ErrorKind::WouldBlock) && kept.unwrap_or(false)
    }

    /// As `Stream::close_notify`.
    pub(crate) fn close(&self) -> io::Result<()> {
        self.with(|state, worker| {
            either!(&mut state.session, session => session.close(&mut worker.buffers));
            send(&self.socket, state, &mut worker.buffers)?;
            flush(&self.socket, state)
        })
    }

    /// Whether the connection may be parked: nothing of it waits in a buffer.
    #[must_use]
    pub fn can_park(&self) -> bool {
        let state: Ref<'_, State> = self.state.borrow();
        state.plain.is_empty() && state.outbox.is_empty() && either!(&state.session, session => session.can_park())
    }

    /// Takes socket and session apart.
    pub(crate) fn park(self) -> (S, Parked) {
        let state = self.state.into_inner();
        (self.socket, Parked(Box::new(state.session)))
    }

    /// Undoes [`TlsStream::park`].
    pub(crate) fn unpark(socket: S, parked: Parked) -> Self {
        Self::new(socket, *parked.0)
    }
}

#[cfg(test)]
mod tests;
