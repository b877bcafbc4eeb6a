//! The client's side of a request as a socket.

use http::Request;
use http::connection::{BodyError, BodyRead};
use http::tunnel::Tunnel;
use lua_lib::socket::state::Socket;
use std::cell::{Cell, RefCell};
use std::io;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

/// Where bytes come from.
pub enum Source {
    /// The request's body; so many of its bytes have not come yet.
    Body(Cell<u64>),
    /// The connection below.
    Raw(Rc<dyn Tunnel>),
}

/// A socket that `ngx.req.socket` made.
pub struct Client {
    /// Its number among the worker's sockets.
    pub id: u64,
    /// Buffer, closed directions, busy directions.
    pub socket: Rc<Socket>,
    /// Where bytes come from.
    pub source: Source,
}

/// The sockets of one request.
#[derive(Default)]
pub struct Clients(RefCell<Vec<Rc<Client>>>);

impl Clients {
    /// Adds one.
    pub fn add(&self, client: Client) {
        self.0.borrow_mut().push(Rc::new(client));
    }

    /// The one with this number.
    pub fn find(&self, id: u64) -> Option<Rc<Client>> {
        self.0.borrow().iter().find(|client| client.id == id).cloned()
    }

    /// How many bytes are still to come of a body that a socket has.
    pub fn body_remaining(&self) -> Option<u64> {
        self.0.borrow().iter().find_map(|client| client.remaining())
    }
}

/// What a look at the source brought.
pub enum Fill {
    /// Bytes.
    More,
    /// Their end.
    End,
    /// The client has gone.
    Aborted,
    /// Another error.
    Failed(io::Error),
}

impl Client {
    /// How many bytes of the body are still to come.
    pub fn remaining(&self) -> Option<u64> {
        match &self.source {
            Source::Body(left) => Some(left.get()),
            Source::Raw(_) => None,
        }
    }

    /// Appends what has come to `input`. `checks`: the end of a raw connection is the client's going.
    pub fn poll_fill(&self, cx: &mut Context<'_>, request: &Request, input: &mut Vec<u8>, room: usize, checks: bool) -> Poll<Fill> {
        match &self.source {
            Source::Body(left) => {
                if left.get() == 0 {
                    return Poll::Ready(Fill::End);
                }
                Poll::Ready(match ready!(request.wire.poll_body(cx, request, input, room)) {
                    Ok(BodyRead::Data(count)) => {
                        let count = count as u64;
                        left.set(left.get().saturating_sub(count));
                        Fill::More
                    }
                    Ok(BodyRead::End) => {
                        left.set(0);
                        Fill::End
                    }
                    Err(BodyError::Closed | BodyError::TimedOut) => Fill::Aborted,
                    Err(BodyError::Invalid | BodyError::Malformed) => Fill::Failed(io::ErrorKind::InvalidData.into()),
                })
            }
            Source::Raw(tunnel) => Poll::Ready(match ready!(tunnel.poll_read(cx, input)) {
                Ok(0) if checks => Fill::Aborted,
                Ok(0) => Fill::End,
                Ok(_) => Fill::More,
                Err(error) => Fill::Failed(error),
            }),
        }
    }
}
