//! One request's dealings with its upstream, from the body to the last byte of the answer.

use crate::attempt::{Attempt, End};
use crate::connection::Key;
use crate::dialect::{Encoded, Job, Sent};
use crate::pass;
use crate::record::{Record, Scratch, State};
use crate::retry;
use crate::route::Route;
use crate::sender::Source;
use crate::settings::next;
use crate::upstream::Upstream;
use crate::url::Url;
use balance::{Peer, Policy, Verdict};
use base::clock;
use base::errno;
use base::log::Level;
use http::body::{self, BodyState};
use http::connection::Address;
use http::{Outcome, Request, Step, log_request};
use std::cell::Cell;
use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;

/// The content handler of a location with an upstream.
pub fn handle(request: &Rc<Request>, route: Rc<Route>) -> Step {
    Step::wait(run(request.clone(), route))
}

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
    evaluated: Option<Url>,
    /// The request body.
    pub source: Source,
    /// Its framing.
    pub framing: Sent,
    /// What the request written says.
    pub encoded: Encoded,
    /// Local address of connections.
    pub local: Option<SocketAddr>,
    began_ms: u64,
}

async fn run(request: Rc<Request>, route: Rc<Route>) -> Outcome {
    if let Some(refused) = read_body(&request, &route).await {
        return refused;
    }
    let state = request.worker.state::<State>();
    let record = request.find_lasting::<Record>().unwrap_or_else(|| {
        let made = Rc::new(Record::new(&state));
        request.set_lasting(made.clone());
        made
    });
    record.clear_head();
    let (evaluated, upstream) = match pass::find(&route.pass, &request, &state, &record, route.dialect.default_port()) {
        Ok(found) => found,
        Err(outcome) => return outcome,
    };
    let (source, framing) = match choose_body(&request, &route) {
        Ok(chosen) => chosen,
        Err(error) => {
            log_request!(request, Level::Crit, "reading the request body failed {}", errno::describe(&error));
            return Outcome::Status(500);
        }
    };
    let scratch = state.scratch();
    let mut exchange = Exchange {
        request,
        route,
        record,
        upstream,
        scratch,
        evaluated,
        source,
        framing,
        encoded: Encoded::default(),
        local: None,
        began_ms: clock::now().monotonic_ms,
    };
    let outcome = exchange.run().await;
    state.give_back(exchange.scratch);
    outcome
}

/// Reads the whole body where the location wants that; an outcome refuses the request.
async fn read_body(request: &Rc<Request>, route: &Route) -> Option<Outcome> {
    if streams_body(request, route) {
        body::send_continue(request);
        return None;
    }
    match body::read(request).finish().await {
        Outcome::Ok => None,
        refused => Some(refused),
    }
}

/// Whether the client's body goes to the upstream as it comes.
fn streams_body(request: &Request, route: &Route) -> bool {
    let body = request.body.borrow();
    !route.plan.request_buffering
        && route.plan.pass_request_body
        && body.state() == BodyState::Unread
        && (body.length().is_some() || route.dialect.can_stream())
}

fn choose_body(request: &Rc<Request>, route: &Route) -> std::io::Result<(Source, Sent)> {
    if let Some(own) = route.dialect.own_body(request) {
        let length = own.len() as u64;
        return Ok((Source::Own(Rc::new(own)), Sent::Length(length)));
    }
    let body = request.body.borrow().clone();
    if !route.plan.pass_request_body || body.state() == BodyState::Discarded {
        return Ok((Source::Nothing, Sent::Nothing));
    }
    if body.is_none() {
        // `Content-Length: 0` is repeated, as servers may insist on a length for POST.
        let announced = request.headers.borrow().contains(b"content-length");
        return Ok((Source::Nothing, if announced { Sent::Length(0) } else { Sent::Nothing }));
    }
    if body.state() == BodyState::Unread {
        return Ok((Source::Client, body.length().map_or(Sent::Stream, Sent::Length)));
    }
    if let Some(file) = body.file() {
        let length = file.file.metadata()?.len();
        return Ok((Source::File(file, length), Sent::Length(length)));
    }
    let length = body.with_data(|data| data.len() as u64);
    Ok((Source::Memory(body), Sent::Length(length)))
}

impl Exchange {
    /// The URL that the request goes to.
    fn url(&self) -> Option<&Url> {
        self.evaluated.as_ref().or(self.route.pass.url.as_ref())
    }

    async fn run(&mut self) -> Outcome {
        if !self.encode() {
            return Outcome::Status(500);
        }
        if !self.is_allowed() {
            self.log_target(&self.upstream.name.clone());
            self.request.log(Level::Error, b"access to upstream denied");
            return Outcome::Status(502);
        }
        if let Err(outcome) = self.choose_local() {
            return outcome;
        }
        self.prepare_selection();
        let mut first = true;
        loop {
            let now = clock::now();
            let Some(peer) = self.upstream.group.next(&mut self.scratch.selection, seconds(now)) else {
                return self.nobody_left(first);
            };
            self.scratch.selection.tries = self.scratch.selection.tries.saturating_sub(1);
            self.record.begin(&peer.server.name, first, now.monotonic_ms);
            first = false;
            self.log_target(&peer.server.name);
            let lease = Lease { upstream: self.upstream.clone(), peer, ended: Cell::new(false) };
            match Attempt::run(self, &lease).await {
                End::Answered(outcome) => {
                    lease.end(&self.request, Verdict::Good);
                    return outcome;
                }
                End::Client(outcome) => {
                    lease.end(&self.request, Verdict::Neutral);
                    return outcome;
                }
                End::Failed(failure) => {
                    let elapsed = clock::now().monotonic_ms.saturating_sub(self.began_ms);
                    lease.end(&self.request, failure.verdict());
                    let left = self.scratch.selection.tries;
                    if !retry::may_go_on(&self.route.plan, self.request.method(), &failure, left, elapsed) {
                        return Outcome::Status(failure.status);
                    }
                }
            }
        }
    }

    /// Whether an answer of this status sends the request on to another server.
    #[must_use]
    pub fn status_goes_on(&self, status: u16, consumed: bool) -> Option<retry::Failure> {
        let failure = retry::Failure { condition: next::of_status(status)?, status, sent: true, consumed };
        let elapsed = clock::now().monotonic_ms.saturating_sub(self.began_ms);
        let left = self.scratch.selection.tries;
        retry::may_go_on(&self.route.plan, self.request.method(), &failure, left, elapsed).then_some(failure)
    }

    fn encode(&mut self) -> bool {
        let mut out = std::mem::take(&mut self.scratch.out);
        out.clear();
        let encoded = self.url().map(|url| {
            let evaluated = self.evaluated.is_some();
            let job = Job { request: &self.request, route: &self.route, url, evaluated, body: self.framing };
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

    fn is_allowed(&self) -> bool {
        self.route.plan.allow_upstream.iter().all(|value| {
            let value = value.to_vec(&*self.request);
            !value.is_empty() && value != b"0"
        })
    }

    fn choose_local(&mut self) -> Result<(), Outcome> {
        let Some(bind) = &self.route.plan.bind else { return Ok(()) };
        let text = bind.address.to_vec(&*self.request);
        if text.is_empty() {
            return Ok(());
        }
        self.local = crate::url::parse_local(&text);
        if self.local.is_none() {
            log_request!(self.request, Level::Error, "invalid local address \"{}\"", String::from_utf8_lossy(&text));
        }
        Ok(())
    }

    fn prepare_selection(&mut self) {
        let group = &self.upstream.group;
        let limit = usize::try_from(self.route.plan.tries).unwrap_or(usize::MAX);
        let tries = if limit == 0 { group.tries() } else { group.tries().min(limit) };
        self.scratch.selection.reset(tries);
        if group.policy() == Policy::IpHash {
            self.scratch.selection.key = Some(hash_key(&self.request.connection.peer.borrow()));
        }
    }

    fn nobody_left(&self, first: bool) -> Outcome {
        let now = clock::now().monotonic_ms;
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
    fn log_target(&self, name: &str) {
        let mut text = self.request.upstream_for_log.borrow_mut();
        text.clear();
        text.extend_from_slice(self.route.dialect.scheme());
        text.extend_from_slice(name.as_bytes());
        if name.starts_with("unix:") {
            text.push(b':');
        }
        text.extend_from_slice(self.scratch.out.get(self.encoded.uri.clone()).unwrap_or_default());
    }

    /// The pool's key for connections to `peer`. One bound to an address belongs to its location.
    #[must_use]
    pub fn key(&self, peer: &Rc<Peer>) -> Key {
        let local = self.upstream.keepalive.as_ref().is_some_and(|k| k.local) || self.route.plan.bind.is_some();
        Key { peer: Rc::as_ptr(peer) as usize, place: if local { Rc::as_ptr(&self.route) as usize } else { 0 } }
    }
}

/// A count of seconds that is never set back.
fn seconds(now: clock::Now) -> i64 {
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
    upstream: Rc<Upstream>,
    /// The server.
    pub peer: Rc<Peer>,
    ended: Cell<bool>,
}

impl Lease {
    fn end(self, request: &Request, verdict: Verdict) {
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
