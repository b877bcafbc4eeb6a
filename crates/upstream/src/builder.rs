//! An `upstream` block while it is parsed.

use crate::balancer::{Balancer, CustomBalancer};
use crate::protocol::{Part, Protocol};
use balance::{Balancing, Server, SharedPeers, Template};
use conf::row::Cx;
use conf::tree::{Error, Span};
use net::address::SocketAddress;
use session::Complex;
use std::cell::{OnceCell, RefMut};
use std::path::PathBuf;
use std::rc::Rc;

/// Parameters of `server` that a balancing method can do without.
#[derive(Clone, Copy)]
pub(crate) struct MethodLimits {
    pub(crate) backup: bool,
    pub(crate) slow_start: bool,
}

/// What a block says.
pub struct GroupBuilder<P: Protocol> {
    pub(crate) name: String,
    pub(crate) span: Span,
    pub(crate) servers: Vec<Server>,
    /// How many of them each `server` stands for.
    pub(crate) lines: Vec<usize>,
    pub(crate) templates: Vec<Template>,
    pub(crate) balancing: Option<Balancing>,
    pub(crate) allowed: Option<MethodLimits>,
    /// Of `hash`.
    pub(crate) key: Option<Complex<P::Session>>,
    pub(crate) zone: Option<Rc<ZoneName>>,
    /// `state`
    pub(crate) state: Option<PathBuf>,
    /// The external balancer of the group.
    pub(crate) balancer: Option<Rc<dyn Balancer<P::Session>>>,
    /// The only server stands for those that the balancer names.
    pub(crate) is_empty: bool,
    /// What only this protocol has.
    pub part: P::Part,
}

impl<P: Protocol> Default for GroupBuilder<P> {
    fn default() -> Self {
        GroupBuilder {
            name: String::new(),
            span: Span::default(),
            servers: Vec::new(),
            lines: Vec::new(),
            templates: Vec::new(),
            balancing: None,
            allowed: None,
            key: None,
            zone: None,
            state: None,
            balancer: None,
            is_empty: false,
            part: P::Part::default(),
        }
    }
}

impl<P: Protocol> GroupBuilder<P> {
    /// The block's name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

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
#[must_use]
pub fn builder<'a, P: Protocol>(cx: &Cx<'a>) -> RefMut<'a, GroupBuilder<P>> {
    cx.frame.server.get::<GroupBuilder<P>>()
}

/// Chooses a method; a second one takes the place of the first, and of `sticky` before it, with nginx's warning.
pub(crate) fn balance<P: Protocol>(cx: &Cx<'_>, balancing: Balancing, allowed: MethodLimits) {
    let outside = {
        let mut custom = cx.frame.server.get::<CustomBalancer<P::Session>>();
        custom.is_second = true;
        custom.balancer.take().is_some()
    };
    let mut builder = builder::<P>(cx);
    if builder.part.yields_to_method() | outside || builder.balancing.is_some() {
        cx.warn("load balancing method redefined");
    }
    builder.balancing = Some(balancing);
    builder.allowed = Some(allowed);
}

/// As [`balance()`], for directives that end there.
pub(crate) fn check_method_only<P: Protocol>(cx: &Cx<'_>, balancing: Balancing, allowed: MethodLimits) -> Result<(), Error> {
    balance::<P>(cx, balancing, allowed);
    Ok(())
}
