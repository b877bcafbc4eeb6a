//! The values of `proxy_*`.

use crate::family::Member;
use crate::pass::Pass;
use crate::rewrite::{CookieFlags, Rule};
use crate::route::Route;
use crate::settings::Family;
use conf::scope::Config;
use http::Complex;
use std::cell::OnceCell;
use std::rc::Rc;

/// `proxy_redirect`
#[derive(Clone, Default)]
pub struct Redirects {
    /// `off`
    pub off: bool,
    /// `default` was written.
    pub default: bool,
    /// Rules in order; the default one comes first if it was written.
    pub rules: Vec<Rule>,
}

/// `proxy_http_version`
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Version {
    /// `1.0`
    Http10,
    /// `1.1`
    #[default]
    Http11,
    /// `2`
    Http2,
}

/// The `proxy_*` directives of a block.
#[derive(Default)]
pub struct Proxy {
    /// The family's directives.
    pub family: Family,
    /// `proxy_pass`; not inherited
    pub pass: Option<Rc<Pass>>,
    /// `proxy_pass` of the block outside, for blocks without a name.
    pub outer: Option<Rc<Pass>>,
    /// `proxy_set_header`, in order
    pub set_headers: Option<Rc<Vec<(Box<[u8]>, Complex)>>>,
    /// `proxy_set_body`
    pub set_body: Option<Complex>,
    /// `proxy_method`
    pub method: Option<Complex>,
    /// `proxy_http_version`
    pub version: Option<Version>,
    /// `proxy_redirect`
    pub redirects: Option<Rc<Redirects>>,
    /// `proxy_cookie_domain`; empty is `off`
    pub cookie_domains: Option<Rc<Vec<Rule>>>,
    /// `proxy_cookie_path`; empty is `off`
    pub cookie_paths: Option<Rc<Vec<Rule>>>,
    /// `proxy_cookie_flags`; empty is `off`
    pub cookie_flags: Option<Rc<Vec<CookieFlags>>>,
    /// All of it, merged, with the target: set when the location is built.
    pub route: OnceCell<Rc<Route>>,
}

impl Config for Proxy {
    fn inherit(&mut self, parent: &Self) {
        self.family.inherit(&parent.family);
        conf::inherit!(self, parent; set_headers, set_body, method, version, redirects, cookie_domains, cookie_paths, cookie_flags);
        self.outer.clone_from(&parent.pass);
    }
}

impl Member for Proxy {
    const PREFIX: &'static str = "proxy";

    fn family(&mut self) -> &mut Family {
        &mut self.family
    }
}
