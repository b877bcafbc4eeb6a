//! The state of a connection, and its records on their way to and from the socket.

use super::{MOST, Socket};
use std::io::{self, IoSlice};
use tls::buffer::Buffers;
use tls::session::{ClientSession, ServerSession};

/// Either end's session.
#[derive(Debug)]
pub(super) enum Session {
    Server(ServerSession),
    Client(ClientSession),
}

/// Does the same with either end's session.
macro_rules! either {
    ($session:expr, $name:ident => $do:expr) => {
        match $session {
            Session::Server($name) => $do,
            Session::Client($name) => $do,
        }
    };
}
pub(super) use either;

#[derive(Debug)]
pub(super) struct State {
    pub(super) session: Session,
    /// Plaintext that was not read yet.
    pub(super) plain: Vec<u8>,
    /// Records that the socket did not take.
    pub(super) outbox: Vec<u8>,
    pub(super) sent: usize,
    /// How many bytes of plaintext are in the outbox, as the writer of them has not been told yet.
    pub(super) owed: usize,
    /// The connection ended without close_notify.
    pub(super) cut: bool,
}

/// Gives `buffers.incoming` to the session and sends what it answers.
pub(super) fn receive(socket: &impl Socket, state: &mut State, buffers: &mut Buffers, into: &mut Vec<u8>) -> io::Result<()> {
    let result = either!(&mut state.session, session => session.receive(buffers, into));
    let sent = send(socket, state, buffers);
    result.map_err(io::Error::other)?;
    sent
}

/// Sends pending records; what the socket does not take goes to the outbox.
pub(super) fn send(socket: &impl Socket, state: &mut State, buffers: &mut Buffers) -> io::Result<()> {
    let records = &mut buffers.records;
    let result = match state.outbox.is_empty() {
        true if !records.is_empty() => socket.try_write(records.pending()),
        _ => Ok(0),
    };
    match result {
        Ok(count) => records.sent(count),
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
        Err(error) => {
            records.clear();
            return Err(error);
        }
    }
    state.outbox.extend_from_slice(records.pending());
    records.clear();
    Ok(())
}

/// Sends the outbox.
pub(super) fn flush(socket: &impl Socket, state: &mut State) -> io::Result<()> {
    while let Some(rest) = state.outbox.get(state.sent..).filter(|rest| !rest.is_empty()) {
        state.sent += socket.try_write(rest)?;
    }
    // A connection that waits for nothing keeps no buffer.
    (state.outbox, state.sent) = (Vec::new(), 0);
    Ok(())
}

/// Sends the outbox; then says how much plaintext was in it, if any was.
pub(super) fn flush_owed(socket: &impl Socket, state: &mut State) -> io::Result<Option<usize>> {
    flush(socket, state)?;
    Ok(Some(std::mem::take(&mut state.owed)).filter(|owed| *owed > 0))
}

pub(super) fn seal(socket: &impl Socket, state: &mut State, buffers: &mut Buffers, pieces: &[IoSlice<'_>]) -> io::Result<usize> {
    let wanted = pieces.iter().any(|piece| !piece.is_empty());
    let taken = either!(&mut state.session, session => session.seal(pieces, MOST, buffers)).map_err(io::Error::other)?;
    send(socket, state, buffers)?;
    if state.outbox.is_empty() && (taken > 0 || !wanted) {
        return Ok(taken);
    }
    state.owed = taken;
    Err(io::ErrorKind::WouldBlock.into())
}
