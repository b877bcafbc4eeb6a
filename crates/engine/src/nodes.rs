//! Blocks between parsing and building.

use crate::listen::Endpoints;
use conf::scope::Frame;
use foldhash::fast::RandomState;
use http::Http;
use http::location::Match;
use http::method::Method;
use std::collections::HashSet;
use std::rc::Rc;

/// A location as read.
pub(crate) struct ChildNode {
    /// Its name without modifier; named ones without `@`.
    pub name: Vec<u8>,
    /// How it is matched.
    pub kind: Match,
    /// Its scopes.
    pub frame: Frame,
}

/// What stands inside a server or location; kept in its location scope.
#[derive(Default)]
pub(crate) struct BlockContent {
    /// Locations, in order.
    pub children: Vec<ChildNode>,
    /// This location's own name and kind, for the checks on nested ones.
    pub own: Option<(Vec<u8>, Match)>,
    /// `limit_except`: excepted methods and the block.
    pub limit_except: Option<(Method, Frame)>,
    /// What `children` are called, by kind of name.
    names: HashSet<(u8, Box<[u8]>), RandomState>,
}

impl BlockContent {
    /// Notes the name of a further child; false when another has it. Regular expressions may be repeated, and `^~ /a`
    /// and `/a` are one place.
    pub(crate) fn is_new(&mut self, name: &[u8], kind: &Match) -> bool {
        let place = match kind {
            Match::Regex(_) | Match::Unnamed => return true,
            Match::Exact => 0,
            Match::Prefix | Match::PrefixNoRegex => 1,
            Match::Named => 2,
        };
        self.names.insert((place, name.into()))
    }
}

/// The servers, in order; kept in `http`'s main scope.
#[derive(Default)]
pub struct Servers {
    /// Their scopes.
    pub list: Vec<Frame>,
}

/// The finished `http { }`; kept in the global scope.
#[derive(Default)]
pub struct Finished {
    /// `None` when the configuration has no `http`.
    pub http: Option<(Rc<Http>, Endpoints)>,
}
