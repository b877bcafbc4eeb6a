//! What a protocol has to supply for its upstream groups.

use balance::Measure;
use base::log::ErrorLog;
use conf::context::Context;
use conf::scope::Frame;
use session::Session;

/// A protocol that has groups of upstream servers.
pub trait Protocol: Sized + 'static {
    /// What is balanced.
    type Session: Session;
    /// What only this protocol's blocks say.
    type Part: Part;
    /// What that amounts to in a group at work; the default is that of a group without a block.
    type Own: Default;

    /// Where `upstream` stands.
    const OUTSIDE: Context;
    /// Where its directives stand.
    const INSIDE: Context;
    /// The port of servers that name none; `None`: they have to.
    const PORT: Option<u16>;
    /// The owner of the groups' zones.
    const OWNER: &'static str;
    /// `server` knows `slow_start`, `drain` and `route`.
    const HAS_BOUND_CLIENTS: bool;
    /// What `least_time` can measure.
    const MEASURES: &'static [(&'static str, Measure)];
    /// The second words of `random two`, and what the better one of two is told by; `None` is connections.
    const BETTER: &'static [(&'static str, Option<Measure>)];

    /// What a block's part amounts to.
    fn own(part: Self::Part) -> Self::Own;

    /// The error log of the block itself, to which groups write before there is a worker.
    fn error_log(frame: &Frame) -> Option<ErrorLog>;
}

/// One protocol's part of a block while it is read.
pub trait Part: Default + 'static {
    /// A way of choosing takes the place of what was said before; true: there was something.
    fn yields_to_method(&mut self) -> bool {
        false
    }
}

impl Part for () {}
