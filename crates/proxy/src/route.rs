//! Everything that a merged location knows about its upstream.

use crate::dialect::Dialect;
use crate::pass::Pass;
use crate::rewrite::{CookieRules, Rule};
use crate::secure::Secured;
use crate::settings::Plan;
use base::serial;
use std::cell::OnceCell;
use std::rc::Rc;

/// A location's way to its upstream.
pub struct Route {
    /// What connections that no other location may use are told by in pools.
    pub number: u64,
    /// The family's settings.
    pub plan: Plan,
    /// The target.
    pub pass: Rc<Pass>,
    /// TLS, where the target is or may be reached over it.
    pub secure: Option<Secured>,
    /// The protocol.
    pub dialect: Box<dyn Dialect>,
    /// `proxy_redirect`, the default one included.
    pub redirects: Vec<Rule>,
    /// Rewriting of cookies.
    pub cookies: CookieRules,
}

impl Route {
    /// A way on which nothing of the response is rewritten.
    #[must_use]
    pub fn plain(plan: Plan, pass: Rc<Pass>, secure: Option<Secured>, dialect: impl Dialect + 'static) -> Route {
        let cookies = CookieRules { domains: Rc::default(), paths: Rc::default(), flags: Rc::default() };
        Route { number: serial::next(), plan, pass, secure, dialect: Box::new(dialect), redirects: Vec::new(), cookies }
    }
}

/// The directives of one protocol in a block.
pub trait HasRoute: 'static {
    /// All of it, merged: set when the location is built.
    fn route(&self) -> &OnceCell<Rc<Route>>;
}
