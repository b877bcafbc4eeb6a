//! Events of a connection.

use quinn_proto::ConnectionError;

use super::stream::{Dir, StreamId};

/// What happened to a connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// The client has opened streams: `Connection::accept` gives them until there are no more. They may be readable at once.
    Opened(Dir),
    /// A stream has data, its end or its reset.
    Readable(StreamId),
    /// A stream that took no more takes some.
    Writable(StreamId),
    /// The client does not want what is sent on a stream; the number is its code.
    Stopped(StreamId, u64),
    /// The client has received all of a stream that was finished.
    Finished(StreamId),
    /// One more stream of this kind may be opened.
    Available(Dir),
    /// The handshake is over.
    Handshaken,
    /// The connection is over; there are no further events.
    Closed(Reason),
}

/// Why a connection is over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reason {
    /// It was silent for too long.
    Idle,
    /// The client closed it.
    Peer {
        /// By its protocol, and not by its transport.
        application: bool,
        /// The code.
        code: u64,
        /// The client's words.
        words: Box<[u8]>,
    },
    /// The client broke the rules of the transport or its handshake failed, and was told so.
    Broken {
        /// The code.
        code: u64,
        /// What is wrong.
        words: Box<str>,
    },
    /// The client has forgotten the connection.
    Reset,
    /// We closed it.
    Local,
}

impl From<ConnectionError> for Reason {
    fn from(error: ConnectionError) -> Self {
        let peer = |application, code, words: &[u8]| Reason::Peer { application, code, words: words.into() };
        match error {
            ConnectionError::TimedOut => Reason::Idle,
            ConnectionError::Reset => Reason::Reset,
            ConnectionError::LocallyClosed => Reason::Local,
            ConnectionError::ApplicationClosed(close) => peer(true, close.error_code.into_inner(), &close.reason),
            ConnectionError::ConnectionClosed(close) => peer(false, close.error_code.into(), &close.reason),
            ConnectionError::TransportError(error) => {
                let words = if error.reason.is_empty() { error.code.to_string() } else { error.reason };
                Reason::Broken { code: error.code.into(), words: words.into() }
            }
            ConnectionError::VersionMismatch | ConnectionError::CidsExhausted => Reason::Broken { code: 2, words: Box::default() },
        }
    }
}
