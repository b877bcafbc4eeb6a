//! One request's use of its group: what is sent, which server is next, what is recorded.

use crate::caching::find::Caching;
use crate::caching::invalidation::Invalidation;
use crate::channel::Channel;
use crate::connection::KeyView;
use crate::dialect::{CacheRequest, Encoded, Job, Sent};
use crate::queue::{Queue, QueueError};
use crate::record::{Record, Scratch, State};
use crate::retry;
use crate::route::Route;
use crate::sender::Source;
use crate::settings::next;
use crate::upstream::Upstream;
use ::upstream::balancer::{self, BalancerContext, Target};
use ::upstream::secure::plan;
use ::upstream::url::Url;
use balance::{Balancing, Choice, Peer, Timing, Verdict};
use base::clock;
use base::log::Level;
use http::connection::Address;
use http::{Outcome, Request};
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;
use std::task::{Context, Poll};

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
    /// What the worker uses again.
    pub state: Rc<State>,
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
    /// Whom the request has in mind, with TLS.
    pub secure: Option<Rc<plan::TlsTarget>>,
    /// Local address of connections.
    pub local: Option<SocketAddr>,
    /// When it began, on the monotonic clock.
    pub began_ms: u64,
    /// The id by which `sticky` knows the request.
    pub session: Vec<u8>,
    /// What the group's balancer and the exchange tell each other, if it has one.
    pub balancer: Option<Rc<BalancerContext>>,
    /// What the balancer has chosen for this try.
    pub target: Option<Target>,
    /// The last try failed because an idle connection had died, which says nothing about its server.
    pub stale: bool,
    /// The cookie that `sticky` has set for the server of the last try.
    pub cookie: Vec<u8>,
    /// Its dealings with a cache.
    pub caching: Option<Box<Caching>>,
    /// What it makes outdated there.
    pub outdating: Option<Invalidation>,
}

impl Exchange {
    /// One that begins: nothing is written yet, and no server chosen. `body` is what is sent, and how.
    #[inline]
    pub fn new(
        request: Rc<Request>,
        route: Rc<Route>,
        record: Rc<Record>,
        upstream: Rc<Upstream>,
        state: Rc<State>,
        evaluated: Option<Url>,
        (source, framing): (Source, Sent),
    ) -> Exchange {
        request.upstream.replace(Some(upstream.full_name.clone()));
        Exchange {
            scratch: state.scratch(),
            request,
            route,
            record,
            upstream,
            state,
            evaluated,
            source,
            framing,
            encoded: Encoded::default(),
            secure: None,
            local: None,
            began_ms: clock::monotonic_ms(),
            session: Vec::new(),
            balancer: None,
            target: None,
            stale: false,
            cookie: Vec::new(),
            caching: None,
            outdating: None,
        }
    }

    /// Finds out whom the request has in mind, where the URL is reached over TLS or the group's balancer wants that.
    pub(crate) fn choose_secure(&mut self) {
        let evaluated = self.evaluated.is_some();
        let said = self.balancer.as_ref().and_then(|turn| turn.tls());
        let host = self.target.as_ref().and_then(|target| target.host.as_deref());
        self.secure = match (&self.route.secure, self.url()) {
            (Some(secured), Some(url)) if said.unwrap_or(url.secure) => Some(secured.target(&self.request, url, evaluated, host)),
            _ => None,
        };
    }

    fn scheme(&self) -> &'static [u8] {
        if self.secure.is_some() { self.route.dialect.secure_scheme() } else { self.route.dialect.scheme() }
    }

    /// The URL that the request goes to.
    #[must_use]
    pub fn url(&self) -> Option<&Url> {
        self.evaluated.as_ref().or(self.route.pass.url.as_ref())
    }

    /// Whether a response of this status sends the request on to another server.
    #[must_use]
    pub(crate) fn status_goes_on(&self, status: u16, sent: bool, consumed: bool) -> Option<retry::Failure> {
        let failure = retry::Failure { condition: next::of_status(status)?, status, sent, consumed };
        self.goes_on(&failure).then_some(failure)
    }

    /// Whether the request goes on to another server.
    #[must_use]
    pub fn goes_on(&self, failure: &retry::Failure) -> bool {
        let elapsed = clock::monotonic_ms().saturating_sub(self.began_ms);
        retry::may_go_on(&self.route.plan, self.encoded.once, failure, self.scratch.selection.tries, elapsed)
    }

    /// Reads received bytes of the response, about `size` bytes at a time; a buffer is there only when something is.
    pub fn poll_receive(&mut self, cx: &mut Context<'_>, channel: &mut Channel, size: usize) -> Poll<io::Result<usize>> {
        let (input, state) = (&mut self.scratch.input, &self.state);
        let poll = channel.poll_receive(cx, input, |input| state.lend_input(input, size));
        if poll.is_pending() && size > 0 {
            self.state.release_input(input);
        }
        poll
    }

    /// Writes the request's head; false: there is no URL, or what it asks for cannot be written.
    pub fn encode(&mut self) -> bool {
        let mut out = std::mem::take(&mut self.scratch.out);
        out.clear();
        let convert_head = self.caching.as_ref().is_some_and(|caching| caching.plan.convert_head);
        let caching = self.caching.as_ref().filter(|caching| caching.cacheable);
        let since = caching.map(|c| c.facts.last_modified.get()).filter(|time| *time >= 0).map(wire::date::http);
        let etag = caching.map(|c| c.facts.etag.borrow().clone()).unwrap_or_default();
        let last_modified = since.as_ref().map_or(&[][..], |since| since);
        let keeping = caching.map(|_| CacheRequest { last_modified, etag: &etag });
        let encoded = self.url().and_then(|url| {
            let evaluated = self.evaluated.is_some();
            let (location, pass_headers) = (self.route.pass.location(), self.route.plan.pass_request_headers);
            let job = Job {
                request: &self.request,
                location,
                pass_headers,
                url,
                evaluated,
                body: self.framing,
                keeping,
                convert_head,
                secure: self.secure.is_some(),
            };
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

    /// Whether the response may be kept, so that it is read whether or not the client waits for it.
    #[must_use]
    pub fn is_cached(&self) -> bool {
        self.caching.as_ref().is_some_and(|caching| caching.cacheable)
    }

    /// Whether there is an old response that this exchange is to replace.
    #[must_use]
    pub(crate) fn has_stale(&self) -> bool {
        self.caching.as_ref().is_some_and(|caching| caching.stale.is_some())
    }

    /// `*_allow_upstream`
    #[must_use]
    pub(crate) fn is_allowed(&self) -> bool {
        self.route.plan.allow_upstream.iter().all(|value| {
            let value = value.to_vec(&*self.request);
            !value.is_empty() && value != b"0"
        })
    }

    /// Tells the group's balancer how a try of a server that it chose has failed.
    pub fn report_failure(&self, failure: &retry::Failure) {
        if let Some(turn) = self.balancer.as_ref().filter(|_| self.target.is_some()) {
            let failed = failure.verdict() == Verdict::Failed;
            turn.end(balancer::Failure { failed, status: failure.status });
        }
    }

    /// Evaluates `*_bind`.
    pub(crate) fn choose_local(&mut self) {
        self.local = self.route.plan.bind.as_ref().and_then(|bind| bind.local(&self.request));
    }

    /// Counts the tries and finds what the group's way of choosing depends on.
    pub(crate) fn prepare_selection(&mut self) {
        let group = &self.upstream.group;
        let limit = usize::try_from(self.route.plan.tries).unwrap_or(usize::MAX);
        let selection = &mut self.scratch.selection;
        selection.reset();
        selection.tries = if limit == 0 { group.tries() } else { group.tries().min(limit) };
        if group.balancing() == Balancing::IpHash {
            push_network(&self.request.client.borrow(), &mut selection.key);
        } else if let Some(key) = &self.upstream.key {
            key.eval(&*self.request, &mut selection.key);
        }
        if let Some(sticky) = &self.upstream.own.sticky {
            self.session = sticky.id(&self.request);
            sticky.bind(&self.session, clock::monotonic_ms(), &mut selection.bound);
        }
    }

    /// The next server, unless others wait for one already or none can be asked.
    pub fn choose(&mut self) -> Option<Choice> {
        if self.upstream.own.queue.as_ref().is_some_and(Queue::is_used) {
            return None;
        }
        self.upstream.group.next(&mut self.scratch.selection, clock::monotonic_ms())
    }

    /// Waits in the group's queue, if it has one, for a server.
    ///
    /// # Errors
    /// What to answer: 502, or 499 for a client that is gone.
    pub async fn wait(&mut self, first: bool) -> Result<Choice, Outcome> {
        let upstream = self.upstream.clone();
        let Some(queue) = &upstream.own.queue else { return Err(self.no_live_upstreams(first)) };
        let request = self.request.clone();
        let selection = &mut self.scratch.selection;
        let look = || {
            selection.begin_again();
            upstream.group.next(selection, clock::monotonic_ms())
        };
        let watch = !self.route.plan.ignore_client_abort && !matches!(self.source, Source::Client(_));
        let gone = |cx: &mut Context<'_>| if watch { request.wire.poll_gone(cx).map(drop) } else { Poll::Pending };
        match queue.wait(look, gone).await {
            Ok(choice) => Ok(choice),
            Err(QueueError::NoServer) => Err(self.no_live_upstreams(first)),
            Err(QueueError::Gone) => {
                request.flags.client_gone.set(true);
                Err(Outcome::Status(499))
            }
        }
    }

    /// Binds the client to the server of this try by a cookie, which takes the place of the one for the try before.
    pub fn set_cookie(&mut self, peer: &Peer) {
        let Some(cookie) = self.upstream.own.sticky.as_ref().and_then(|sticky| sticky.cookie.as_ref()) else { return };
        let value = cookie.value(&self.request, &peer.id);
        let mut response = self.request.response.borrow_mut();
        if !self.cookie.is_empty() {
            response.headers.retain(|name, old| name != SET_COOKIE || *old != *self.cookie);
        }
        response.headers.push(SET_COOKIE, &value);
        self.cookie = value;
    }

    /// Learns from a response which server its session is bound to.
    pub fn learn_session(&self, peer: &Peer, at_header: bool) {
        if let Some(sticky) = &self.upstream.own.sticky {
            sticky.learn(&self.request, &self.session, &peer.id, at_header, clock::monotonic_ms());
        }
    }

    /// What the server is blamed for after a failed try.
    #[must_use]
    pub fn verdict(&self, failure: &retry::Failure) -> Verdict {
        if self.stale { Verdict::Neutral } else { failure.verdict() }
    }

    /// How long the response of the last try took.
    #[must_use]
    pub fn timing(&self) -> Timing {
        let tries = self.record.tries.borrow();
        tries.last().map_or(Timing::default(), |last| Timing {
            connect: last.connect,
            header: last.header,
            response: last.header.and(last.response),
        })
    }

    /// Counts the result of the last attempt in the statistics of its server.
    pub fn count(&self, peer: &Peer) {
        if let Some(last) = self.record.tries.borrow().last() {
            peer.answered(last.status, last.sent, last.received);
        }
    }

    /// Notes a try that had no server.
    pub(crate) fn record_no_server(&self, first: bool) {
        let now = clock::monotonic_ms();
        self.record.begin(&self.upstream.name, first, now);
        self.record.update(now, |t, _| {
            t.status = 502;
            t.response = Some(0);
        });
    }

    /// Answers when no server is left alive.
    pub(crate) fn no_live_upstreams(&self, first: bool) -> Outcome {
        self.record_no_server(first);
        self.log_target(&self.upstream.name);
        self.request.action.set("connecting to upstream");
        self.request.log(Level::Error, b"no live upstreams");
        Outcome::Status(502)
    }

    /// Sets the log context of the upstream: `http://127.0.0.1:8081/path`.
    pub(crate) fn log_target(&self, name: &str) {
        let mut text = self.request.upstream_for_log.borrow_mut();
        text.clear();
        text.extend_from_slice(self.scheme());
        text.extend_from_slice(name.as_bytes());
        if name.starts_with("unix:") {
            text.push(b':');
        }
        text.extend_from_slice(self.scratch.out.get(self.encoded.uri.clone()).unwrap_or_default());
    }

    /// The local address of this try's connection.
    #[must_use]
    pub fn local(&self) -> Option<SocketAddr> {
        self.balancer.as_ref().and_then(|turn| turn.local()).or(self.local)
    }

    /// Which of a pool's connections lead to `peer` as they should.
    #[must_use]
    pub fn pool_key<'a>(&'a self, peer: &'a Peer) -> KeyView<'a> {
        let apart = self.upstream.own.keepalive.as_ref().is_some_and(|keepalive| keepalive.local);
        let route = if apart { self.route.number } else { 0 };
        let secure = self.secure.as_ref().zip(self.route.secure.as_ref()).map(|(target, secured)| secured.identity(target));
        let host = self.target.as_ref().and_then(|target| target.host.as_ref());
        KeyView {
            address: &peer.server.name,
            protocol: self.scheme(),
            kind: self.route.dialect.kind(),
            secure,
            local: self.local(),
            route,
            host,
        }
    }
}

const SET_COOKIE: &[u8] = b"Set-Cookie";

/// The part of a client's address that `ip_hash` hashes.
fn push_network(address: &Address, out: &mut Vec<u8>) {
    match address {
        Address::Ip(address) => match address.ip() {
            IpAddr::V4(ip) => out.extend_from_slice(ip.octets().get(..3).unwrap_or_default()),
            IpAddr::V6(ip) => out.extend_from_slice(&ip.octets()),
        },
        // All clients of a unix socket are one.
        Address::Unix(_) => out.extend_from_slice(&[0, 0, 0]),
    }
}
