//! An `upstream` block while it is read.

use crate::sticky::Sticky;
use balance::{Balancing, Server, SharedPeers, Template};
use conf::row::Cx;
use conf::tree::{Error, Span};
use http::Complex;
use http::balancer::{Balancer, Custom};
use net::address::SocketAddress;
use std::cell::{OnceCell, RefMut};
use std::rc::Rc;

/// Parameters of `server` that a balancing method can do without.
#[derive(Clone, Copy)]
pub(crate) struct Allowed {
    pub(crate) backup: bool,
    pub(crate) slow_start: bool,
}

/// What a block says.
#[derive(Default)]
pub(crate) struct Draft {
    pub(crate) name: String,
    pub(crate) span: Span,
    pub(crate) servers: Vec<Server>,
    /// How many of them each `server` stands for.
    pub(crate) lines: Vec<usize>,
    pub(crate) templates: Vec<Template>,
    pub(crate) balancing: Option<Balancing>,
    pub(crate) allowed: Option<Allowed>,
    /// Of `hash`.
    pub(crate) key: Option<Complex>,
    pub(crate) zone: Option<Rc<ZoneName>>,
    pub(crate) sticky: Option<Rc<Sticky>>,
    /// Who chooses in the group's stead.
    pub(crate) balancer: Option<Rc<dyn Balancer>>,
    /// The only server stands for those that the balancer names.
    pub(crate) is_empty: bool,
    /// Length and time.
    pub(crate) queue: Option<(usize, u64)>,
    pub(crate) keepalive: Option<(usize, bool)>,
    pub(crate) requests: Option<u64>,
    pub(crate) time: Option<u64>,
    pub(crate) timeout: Option<u64>,
}

impl Draft {
    /// Adds what one `server` stands for.
    pub(crate) fn add(&mut self, shape: &Server, addresses: impl IntoIterator<Item = SocketAddress>) {
        let before = self.servers.len();
        self.servers.extend(addresses.into_iter().map(|address| shape.at(address)));
        self.lines.push(self.servers.len() - before);
    }
}

/// A zone by its name, which another block may declare.
pub(crate) struct ZoneName {
    pub(crate) name: String,
    pub(crate) peers: OnceCell<Rc<SharedPeers>>,
    /// The same zone in the configuration before.
    pub(crate) previous: OnceCell<SharedPeers>,
}

/// The block that is being read.
pub(crate) fn draft<'a>(cx: &Cx<'a>) -> RefMut<'a, Draft> {
    cx.frame.server.get::<Draft>()
}

/// Chooses a method; a second one takes the place of the first, and of `sticky` before it, with nginx's warning.
pub(crate) fn balance(cx: &Cx<'_>, balancing: Balancing, allowed: Allowed) {
    let outside = {
        let mut custom = cx.frame.server.get::<Custom>();
        custom.is_second = true;
        custom.balancer.take().is_some()
    };
    let mut draft = draft(cx);
    if outside || draft.balancing.is_some() || draft.sticky.is_some() {
        cx.warn("load balancing method redefined");
    }
    draft.sticky = None;
    draft.balancing = Some(balancing);
    draft.allowed = Some(allowed);
}

/// As [`balance`], for directives that end there.
pub(crate) fn only(cx: &Cx<'_>, balancing: Balancing, allowed: Allowed) -> Result<(), Error> {
    balance(cx, balancing, allowed);
    Ok(())
}
