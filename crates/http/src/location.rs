//! Servers and locations as requests see them, and the choice of a location for a URI.

use crate::Regex;
use crate::chain::Chain;
use crate::core::Core;
use crate::next_filters::NextFilters;
use crate::phase::Phase;
use crate::request::Request;
use crate::request_zones::RequestZones;
use conf::configs::ConfMap;
use foldhash::fast::RandomState;
use session::{BoxFuture, Outcome, Step};
use std::cell::Cell;
use std::cmp::Ordering;
use std::collections::HashMap;
use std::rc::Rc;

/// A phase handler with its place in the order of modules.
#[derive(Clone)]
pub struct Handler {
    /// Place of the module in the registry: lower runs first.
    pub order: u16,
    /// Runs it.
    pub run: Rc<dyn Fn(&Rc<Request>) -> Step>,
}

/// A header filter; runs when the head is about to leave.
pub(crate) type HeaderFilter = Rc<dyn Fn(&Rc<Request>) -> Step>;

/// What a body filter made of a chain.
pub enum Filtered {
    /// The chain to pass on; `Err` aborts the response.
    Now(Result<Chain, Outcome>),
    /// The filter keeps what came: nothing goes on.
    Kept,
    /// As `Now`, later.
    Wait(BoxFuture<Result<Chain, Outcome>>),
    /// Parts that are sent below as the client takes them, and the chain that is passed on at the end.
    Parts(Box<dyn FnOnce(NextFilters) -> BoxFuture<Result<Chain, Outcome>>>),
}

/// A body filter; keeps its state in the request's context.
#[derive(Clone)]
pub struct BodyFilter {
    /// 0: sees every body. Otherwise a bit that a header filter must set for this response.
    pub mark: u32,
    /// Runs it.
    pub run: Rc<dyn Fn(&Rc<Request>, Chain) -> Filtered>,
}

impl BodyFilter {
    /// Whether it sees this response's body.
    pub(crate) fn runs_for(&self, request: &Request) -> bool {
        self.mark == 0 || request.body_filters_on.get() & self.mark != 0
    }
}

/// How a location is matched.
#[derive(Clone)]
pub enum Match {
    /// `location = /x`
    Exact,
    /// `location /x`
    Prefix,
    /// `location ^~ /x`
    PrefixNoRegex,
    /// `location ~ x`, `location ~* x`
    Regex(Rc<Regex>),
    /// `location @x`
    Named,
    /// `if`, `limit_except`, and a server's own values.
    Unnamed,
}

/// A location: merged values and flat lists of handlers.
pub struct Location {
    /// A number that no other location has, of whatever configuration.
    pub number: u64,
    /// The name as written, without modifier; for a server's own values empty.
    pub name: Box<[u8]>,
    /// How it is matched.
    pub kind: Match,
    /// Core values, at hand.
    pub core: Rc<Core>,
    /// Values of all modules.
    pub conf: ConfMap,
    /// Where its requests are counted.
    pub zones: RequestZones,
    /// Handlers by phase, in order.
    pub phases: [Vec<Handler>; Phase::COUNT],
    /// One bit for each of `phases` that has handlers, so that a request passes the others without looking.
    pub busy: u8,
    /// The handler that `*_pass`, `content_by_lua` and the like install; it alone makes the content.
    pub content: Option<Rc<dyn Fn(&Rc<Request>) -> Step>>,
    /// A request for the name without its trailing slash is redirected to it (`proxy_pass` locations).
    pub auto_redirect: bool,
    /// Header filters in order.
    pub header_filters: Vec<HeaderFilter>,
    /// How many of them a response that is captured passes.
    pub capture_at: usize,
    /// Body filters in order.
    pub body_filters: Vec<BodyFilter>,
    /// A handler of the log phase runs code that may take long: the response is handed to the kernel before.
    pub code_logs: bool,
    /// One of the body filters sees every body.
    pub always_filtered: bool,
    /// Locations inside this one.
    pub children: Locations,
    /// For methods that are not excepted: what `limit_except` puts in this location's place.
    pub limit_except: Option<(crate::method::Method, Rc<Location>)>,
    /// The nameless blocks (`if`) inside, by the index that [`crate::blocks::Blocks::push`] gave.
    pub blocks: Vec<Rc<Location>>,
}

impl Location {
    /// Whether no handler waits in any of `phases`.
    #[inline]
    pub fn is_idle_in(&self, phases: &[Phase]) -> bool {
        phases.iter().all(|phase| self.busy & phase.bit() == 0)
    }

    /// The header filters that the response of `request` passes.
    pub(crate) fn header_filters(&self, request: &Request) -> &[HeaderFilter] {
        let captured = request.flags.captured.get().then(|| self.header_filters.get(..self.capture_at)).flatten();
        captured.unwrap_or(&self.header_filters)
    }

    /// Handlers of one phase.
    pub fn handlers(&self, phase: Phase) -> &[Handler] {
        self.phases.get(phase as usize).map_or(&[], Vec::as_slice)
    }
}

/// How many places of recent searches a level remembers.
const RECENT: usize = 4;

/// The locations of one level, prepared for the search.
#[derive(Default)]
pub struct Locations {
    /// Exact and prefix locations, sorted by name; an exact one before a prefix of the same name.
    pub fixed: Vec<Rc<Location>>,
    /// For `fixed[i]`: index of the longest prefix location that is a proper prefix of its name.
    pub shorter: Vec<Option<u32>>,
    /// Those of `fixed` that want redirects to their trailing slash, by their name without it.
    pub redirects: HashMap<Box<[u8]>, Rc<Location>, RandomState>,
    /// A bit for each of their lengths: most URIs have another, and need not be looked for.
    redirect_lengths: u64,
    /// Regular expressions in the order of the file.
    pub regex: Vec<Rc<Location>>,
    /// `@name` locations.
    pub named: Vec<Rc<Location>>,
    /// Where in `fixed` the search began last, by a letter of the URI, so that a request that is rewritten finds both of its places: a busy
    /// endpoint is asked for again.
    recent: [Cell<u32>; RECENT],
}

/// Result of the search in the fixed locations.
pub enum Found {
    /// An exact match: the search ends.
    Exact(Rc<Location>),
    /// The longest prefix.
    Prefix(Rc<Location>),
    /// `URI/` is the name of a location that wants a redirect.
    Redirect(Rc<Location>),
    /// Nothing.
    Nothing,
}

impl Locations {
    /// Prepares the search.
    pub fn new(all: Vec<Rc<Location>>) -> Locations {
        let mut locations = Locations::default();
        for location in all {
            match location.kind {
                Match::Regex(_) => locations.regex.push(location),
                Match::Named => locations.named.push(location),
                Match::Unnamed => {}
                _ => locations.fixed.push(location),
            }
        }
        let redirecting = locations.fixed.iter().filter(|l| l.auto_redirect);
        let by_name = redirecting.filter_map(|l| Some((Box::from(l.name.strip_suffix(b"/")?), l.clone())));
        locations.redirects = by_name.collect();
        locations.redirect_lengths = locations.redirects.keys().fold(0, |bits, name| bits | length_bit(name));
        let rank = |l: &Location| u8::from(!matches!(l.kind, Match::Exact));
        locations.fixed.sort_by(|a, b| a.name.cmp(&b.name).then(rank(a).cmp(&rank(b))));
        locations.shorter = shorter(&locations.fixed);
        locations
    }

    /// Whether there is nothing at this level.
    pub fn is_empty(&self) -> bool {
        self.fixed.is_empty() && self.regex.is_empty() && self.named.is_empty()
    }

    /// Looks for `uri` among the exact and prefix locations.
    pub fn find_fixed(&self, uri: &[u8]) -> Found {
        // Everything that sorts between the longest prefix of `uri` and `uri` itself starts with that prefix, so the
        // chain of ever shorter prefixes from the last name below `uri` meets it.
        let mut candidate = self.nearest(uri);
        while let Some((at, location)) = candidate.and_then(|at| Some((at, self.fixed.get(at)?))) {
            if *location.name == *uri {
                let twin = at.checked_sub(1).and_then(|before| self.fixed.get(before)).filter(|l| *l.name == *uri);
                let chosen = twin.unwrap_or(location);
                return if matches!(chosen.kind, Match::Exact) { Found::Exact(chosen.clone()) } else { Found::Prefix(chosen.clone()) };
            }
            if !matches!(location.kind, Match::Exact) && uri.starts_with(&location.name) {
                return self.redirect(uri).unwrap_or_else(|| Found::Prefix(location.clone()));
            }
            candidate = self.shorter.get(at).copied().flatten().map(|i| i as usize);
        }
        self.redirect(uri).unwrap_or(Found::Nothing)
    }

    /// The last of the fixed locations whose name does not sort behind `uri`. Requests come in runs for the same place, so the one that was
    /// found last is looked at first.
    fn nearest(&self, uri: &[u8]) -> Option<usize> {
        let letter = usize::from(uri.get(1).copied().unwrap_or_default());
        let slot = self.recent.get(letter % RECENT)?;
        let recent = slot.get() as usize;
        let name = |at: usize| self.fixed.get(at).map(|location| &*location.name);
        let is_nearest = match name(recent).map(|name| name.cmp(uri)) {
            Some(Ordering::Equal) => true,
            Some(Ordering::Less) => name(recent + 1).is_none_or(|next| next > uri),
            Some(Ordering::Greater) | None => false,
        };
        if is_nearest {
            return Some(recent);
        }
        let found = self.fixed.partition_point(|location| &*location.name <= uri).checked_sub(1)?;
        slot.set(u32::try_from(found).unwrap_or_default());
        Some(found)
    }

    fn redirect(&self, uri: &[u8]) -> Option<Found> {
        if self.redirect_lengths & length_bit(uri) == 0 {
            return None;
        }
        self.redirects.get(uri).map(|l| Found::Redirect(l.clone()))
    }
}

fn length_bit(name: &[u8]) -> u64 {
    1 << (name.len() % u64::BITS as usize)
}

/// For each of the locations, which are sorted by name: the longest prefix location that is a proper prefix of its name.
fn shorter(fixed: &[Rc<Location>]) -> Vec<Option<u32>> {
    // The prefixes of the present name, longest last: what a name is no prefix of, later ones do not start with either.
    let mut open: Vec<u32> = Vec::new();
    let mut list = Vec::with_capacity(fixed.len());
    for (i, location) in (0_u32..).zip(fixed) {
        let name = &location.name;
        let is_prefix = |at: &u32| fixed.get(*at as usize).is_some_and(|l| l.name.len() < name.len() && name.starts_with(&l.name));
        while open.last().is_some_and(|at| !is_prefix(at)) {
            open.pop();
        }
        list.push(open.last().copied());
        if !matches!(location.kind, Match::Exact) {
            open.push(i);
        }
    }
    list
}

/// A `server { }` block as it is in force.
pub struct Server {
    /// `$server_name`: the first name.
    pub name: Box<[u8]>,
    /// Server-level values of modules.
    pub conf: ConfMap,
    /// Limits for reading a head, at hand.
    pub core: Rc<crate::core::ServerCore>,
    /// Its part in TLS.
    pub tls: crate::tls::ServerTls,
    /// The server's own location values: in force until a location is found. Holds the post-read and server-rewrite handlers.
    pub own: Rc<Location>,
    /// Its locations.
    pub locations: Locations,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::module::Parts;

    fn locations(names: &[(&str, Match)]) -> Locations {
        let location = |(name, kind): &(&str, Match)| {
            let parts = Parts::default();
            Rc::new(parts.into_location(name.as_bytes().into(), kind.clone(), Rc::default(), ConfMap::default(), Locations::default()))
        };
        Locations::new(names.iter().map(location).collect())
    }

    #[test]
    fn what_is_asked_for_again_is_found_again() {
        let found =
            locations(&[("/", Match::Prefix), ("/a", Match::Prefix), ("/a", Match::Exact), ("/ab", Match::Exact), ("/b/", Match::Prefix)]);
        let name = |uri: &str| match found.find_fixed(uri.as_bytes()) {
            Found::Exact(location) => format!("= {}", String::from_utf8_lossy(&location.name)),
            Found::Prefix(location) => String::from_utf8_lossy(&location.name).into_owned(),
            Found::Redirect(_) => "redirect".to_owned(),
            Found::Nothing => "nothing".to_owned(),
        };
        let expected = [
            ("/a", "= /a"),
            ("/a0", "/a"),
            ("/ab", "= /ab"),
            ("/abc", "/a"),
            ("/b/", "/b/"),
            ("/b/x", "/b/"),
            ("/", "/"),
            ("/c", "/"),
            ("x", "nothing"),
            ("", "nothing"),
        ];
        // Whatever was asked for before, and before that.
        for (first, second) in expected.iter().flat_map(|first| expected.iter().map(move |second| (first, second))) {
            for (uri, expected) in [first, second, second, first] {
                assert_eq!(name(uri), *expected, "{uri} of {} and {}", first.0, second.0);
            }
        }
    }

    #[test]
    fn each_name_knows_the_longest_prefix_before_it() {
        let names = ["/", "/a", "/a/", "/a/b", "/a/b/c", "/a/c", "/ab", "/b", "/b/x/y", "/b/x", "x"];
        let mut all: Vec<_> = names.iter().map(|name| (*name, Match::Prefix)).collect();
        all.push(("/a/c", Match::Exact));
        all.push(("/b/x/yz", Match::Exact));
        all.push(("/b/x/yzz", Match::PrefixNoRegex));
        let found = locations(&all);
        for (at, long) in found.fixed.iter().enumerate() {
            let is_prefix = |short: &&Rc<Location>| {
                !matches!(short.kind, Match::Exact) && short.name.len() < long.name.len() && long.name.starts_with(&short.name)
            };
            let expected = found.fixed.iter().filter(is_prefix).map(|short| &*short.name).max_by_key(|name| name.len());
            let shorter = found.shorter[at].map(|i| &*found.fixed[i as usize].name);
            assert_eq!(shorter, expected, "{}", String::from_utf8_lossy(&long.name));
        }
    }
}
