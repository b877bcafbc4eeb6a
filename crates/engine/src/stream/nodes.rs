//! The servers of `stream { }` as read, before they are built.

use conf::scope::Frame;
use conf::tree::Span;

/// A server as read.
pub(super) struct ServerNode {
    /// Its scopes.
    pub(super) frame: Frame,
    /// Where it stands.
    pub(super) span: Span,
}

/// The servers, in order; kept in the main scope of `stream`.
#[derive(Default)]
pub(super) struct Servers {
    pub(super) list: Vec<ServerNode>,
}
