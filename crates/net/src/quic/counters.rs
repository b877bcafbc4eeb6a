//! Counters of an endpoint.

use std::rc::Rc;

/// Something that is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum QuicEvent {
    /// Received datagrams.
    Received,
    /// ... and were passed on to the process that has their connection, or takes new clients now.
    Passed,
    /// ... and were of no use: of no connection, too short, or of a client that could not be held.
    Dropped,
    /// Clients that were asked to prove their addresses.
    Retry,
    /// Packets of connections that have ended which were sent.
    Sent,
    /// ... and were lost.
    Lost,
}

/// Who counts: a thing, and how many of it.
pub type CountFn = Rc<dyn Fn(QuicEvent, u64)>;
