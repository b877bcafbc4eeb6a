//! One request's dealings with its group: what is sent, which server is next, what is remembered.

use crate::connection::{Connection, Key};
use crate::dialect::{Encoded, Job, Sent};
use crate::record::{Record, Scratch};
use crate::retry;
use crate::route::Route;
use crate::sender::Source;
use crate::settings::next;
use crate::upstream::Upstream;
use crate::url::Url;
use balance::{Peer, Policy, Verdict};
use base::clock;
use base::log::Level;
use http::connection::Address;
use http::{Outcome, Request, log_request};
use std::cell::Cell;
use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;

/// An exchange in progress.
pub struct Exchange {
    /// The client's request.
    pub request: Rc<Request>,
    /// The location's settings.
    pub route: Rc<Route>,
    /// What variables will tell.
    pub record: Rc<Record>,
    /// The group.
    pub upstream: Rc<Upstream>,
    /// Buffers.
    pub scratch: Box<Scratch>,
    /// The URL, if it had variables.
    pub evaluated: Option<Url>,
    /// The request body.
    pub source: Source,
    /// Its framing.
    pub framing: Sent,
    /// What the request written says.
    pub encoded: Encoded,
    /// Local address of connections.
    pub local: Option<SocketAddr>,
    /// When it began, on the monotonic clock.
    pub began_ms: u64,
}

impl Exchange {
    /// The URL that the request goes to.
    fn url(&self) -> Option<&Url> {
        self.evaluated.as_ref().or(self.route.pass.url.as_ref())
    }

    /// Whether an answer of this status sends the request on to another server.
    #[must_use]
    pub fn status_goes_on(&self, status: u16, sent: bool, consumed: bool) -> Option<retry::Failure> {
        let failure = retry::Failure { condition: next::of_status(status)?, status, sent, consumed };
        let elapsed = clock::monotonic_ms().saturating_sub(self.began_ms);
        let left = self.scratch.selection.tries;
        retry::may_go_on(&self.route.plan, self.encoded.once, &failure, left, elapsed).then_some(failure)
    }

    /// Writes the request's head; false: there is no URL, or what it asks for cannot be written.
    pub fn encode(&mut self) -> bool {
        let mut out = std::mem::take(&mut self.scratch.out);
        out.clear();
        let encoded = self.url().and_then(|url| {
            let evaluated = self.evaluated.is_some();
            let (location, pass_headers) = (self.route.pass.location(), self.route.plan.pass_request_headers);
            let job = Job { request: &self.request, location, pass_headers, url, evaluated, body: self.framing };
            self.route.dialect.encode(&job, &mut out)
        });
        self.scratch.out = out;
        match encoded {
            Some(encoded) => {
                self.encoded = encoded;
                true
            }
            None => false,
        }
    }

    /// `*_allow_upstream`
    #[must_use]
    pub fn is_allowed(&self) -> bool {
        self.route.plan.allow_upstream.iter().all(|value| {
            let value = value.to_vec(&*self.request);
            !value.is_empty() && value != b"0"
        })
    }

    /// Evaluates `*_bind`.
    pub fn choose_local(&mut self) {
        let Some(bind) = &self.route.plan.bind else { return };
        let text = bind.address.to_vec(&*self.request);
        if text.is_empty() {
            return;
        }
        self.local = crate::url::parse_local(&text);
        if self.local.is_none() {
            log_request!(self.request, Level::Error, "invalid local address \"{}\"", String::from_utf8_lossy(&text));
        }
    }

    /// Counts the tries and sets the key of the group's policy.
    pub fn prepare_selection(&mut self) {
        let group = &self.upstream.group;
        let limit = usize::try_from(self.route.plan.tries).unwrap_or(usize::MAX);
        let tries = if limit == 0 { group.tries() } else { group.tries().min(limit) };
        self.scratch.selection.reset(tries);
        if group.policy() == Policy::IpHash {
            self.scratch.selection.key = Some(hash_key(&self.request.client.borrow()));
        }
    }

    /// Answers when no server is left alive.
    pub fn nobody_left(&self, first: bool) -> Outcome {
        let now = clock::monotonic_ms();
        self.record.begin(&self.upstream.name, first, now);
        self.record.update(now, |t, _| {
            t.status = 502;
            t.response = Some(0);
        });
        self.log_target(&self.upstream.name);
        self.request.action.set("connecting to upstream");
        self.request.log(Level::Error, b"no live upstreams");
        Outcome::Status(502)
    }

    /// Sets what the log says of the upstream: `http://127.0.0.1:8081/path`.
    pub fn log_target(&self, name: &str) {
        let mut text = self.request.upstream_for_log.borrow_mut();
        text.clear();
        text.extend_from_slice(self.route.dialect.scheme());
        text.extend_from_slice(name.as_bytes());
        if name.starts_with("unix:") {
            text.push(b':');
        }
        text.extend_from_slice(self.scratch.out.get(self.encoded.uri.clone()).unwrap_or_default());
    }

    /// Keeps a clean connection to `peer` for the next request, where the group does that.
    pub fn keep(&self, peer: &Rc<Peer>, connection: Connection) {
        if let Some(keepalive) = &self.upstream.keepalive
            && !self.request.worker.exiting.get()
        {
            keepalive.put(self.key(peer), connection, clock::monotonic_ms());
        }
    }

    /// The pool's key for connections to `peer`. One bound to an address belongs to its location.
    #[must_use]
    pub fn key(&self, peer: &Rc<Peer>) -> Key {
        let local = self.upstream.keepalive.as_ref().is_some_and(|k| k.local) || self.route.plan.bind.is_some();
        Key { peer: Rc::as_ptr(peer) as usize, place: if local { Rc::as_ptr(&self.route) as usize } else { 0 } }
    }
}

/// A count of seconds that is never set back.
#[must_use]
pub fn seconds(now: clock::Now) -> i64 {
    i64::try_from(now.monotonic_ms / 1000).unwrap_or(i64::MAX)
}

fn hash_key(address: &Address) -> Vec<u8> {
    match address {
        Address::Ip(address) => match address.ip() {
            IpAddr::V4(ip) => ip.octets().get(..3).unwrap_or_default().to_vec(),
            IpAddr::V6(ip) => ip.octets().to_vec(),
        },
        // All clients of a unix socket are one.
        Address::Unix(_) => vec![0, 0, 0],
    }
}

/// A server in use by one try; given back in any case, a dropped request included.
pub struct Lease {
    /// Its group.
    pub upstream: Rc<Upstream>,
    /// The server.
    pub peer: Rc<Peer>,
    ended: Cell<bool>,
}

impl Lease {
    /// Holds a server that the group has given out.
    #[must_use]
    pub fn new(upstream: Rc<Upstream>, peer: Rc<Peer>) -> Lease {
        Lease { upstream, peer, ended: Cell::new(false) }
    }

    /// Gives the server back with a verdict.
    pub fn end(self, request: &Request, verdict: Verdict) {
        let disabled = self.upstream.group.release(&self.peer, verdict, seconds(clock::now()));
        if disabled {
            request.log(Level::Warn, b"upstream server temporarily disabled");
        }
        self.ended.set(true);
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        if !self.ended.get() {
            self.upstream.group.release(&self.peer, Verdict::Neutral, seconds(clock::now()));
        }
    }
}
