//! One health check of one server, made like a request of the location: protocol, headers, TLS, timeouts.

use super::{PreparedCheck, grpc, test};
use crate::attempt::Attempt;
use crate::attempt::probe::{ProbeAnswer, ProbeFailure};
use crate::connection::UpstreamConnection;
use crate::dialect::Sent;
use crate::exchange::Exchange;
use crate::lease::Lease;
use crate::limits::TIMED_OUT;
use crate::record::{Record, State};
use crate::sender::Source;
use crate::upstream::Upstream;
use ::upstream::checks::{self, Probe, Report};
use balance::{Choice, Peer, Server};
use base::clock;
use base::log::Level;
use foldhash::HashMap;
use http::connection::{Address, Connection};
use http::request::HEALTH_CHECK;
use http::{Method, Request};
use session::BoxFuture;
use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::{Duration, Instant};

/// What is done, for the log, until there is something to check.
const CHECKING_STATUS: &str = "checking status code";

/// A connection that waits for the next question, and since when it is open.
type Idle = (Box<UpstreamConnection>, Instant);

/// Asks over HTTP, FastCGI and whatever else a location passes requests on in.
pub(super) struct HttpProbe {
    asker: Rc<Prober>,
}

struct Prober {
    worker: Rc<http::Worker>,
    http: Rc<http::Http>,
    server: Rc<http::Server>,
    ready: Rc<PreparedCheck>,
    upstream: Rc<Upstream>,
    connection: Rc<Connection>,
    idle: RefCell<HashMap<Rc<str>, Idle>>,
}

impl HttpProbe {
    pub(super) fn new(
        worker: &Rc<http::Worker>,
        http: &Rc<http::Http>,
        server: &Rc<http::Server>,
        ready: &Rc<PreparedCheck>,
        upstream: &Rc<Upstream>,
    ) -> HttpProbe {
        let nowhere = Address::Unix(None);
        let connection = Connection {
            id: 0,
            peer: nowhere.clone(),
            local: nowhere,
            requests: Cell::new(0),
            started_ms: 0,
            tls: RefCell::default(),
            proxy_protocol: RefCell::default(),
        };
        let (worker, http, server, ready, upstream) = (worker.clone(), http.clone(), server.clone(), ready.clone(), upstream.clone());
        let idle = RefCell::default();
        HttpProbe { asker: Rc::new(Prober { worker, http, server, ready, upstream, connection: Rc::new(connection), idle }) }
    }
}

impl Probe for HttpProbe {
    fn probe(&self, server: Server, about: String) -> BoxFuture<Report> {
        let asker = self.asker.clone();
        Box::pin(async move { asker.run(server, about).await })
    }
}

impl Prober {
    async fn run(&self, server: Server, about: String) -> Report {
        let request = self.request(about);
        let plan = &self.ready.route.plan;
        // Each part has its own limit, but a server that says a byte now and then would use each of them again and again.
        let limit = plan.connect_timeout.saturating_add(plan.send_timeout).saturating_add(plan.read_timeout);
        let passed = net::time::timeout(Duration::from_millis(limit), self.question(&request, server)).await;
        if passed.is_err() {
            request.log(Level::Error, TIMED_OUT);
        }
        let report = Report { passed: passed.unwrap_or(false), action: request.action.get() };
        request.run_cleanups();
        self.worker.spare.put(request);
        report
    }

    /// A request that no client has sent.
    fn request(&self, about: String) -> Rc<Request> {
        let request = self.worker.spare.take_detached(&self.worker, &self.http, self.connection.clone(), self.server.clone());
        request.set_location(self.ready.location.clone());
        request.purpose.set(HEALTH_CHECK);
        request.upstream_for_log.replace(about.into_bytes());
        let check = &self.ready.check;
        let target = if check.grpc.is_some() { grpc::PATH } else { check.uri.as_deref().unwrap_or(b"/") };
        {
            let mut line = request.line.borrow_mut();
            let (method, name) = if check.grpc.is_some() { (Method::POST, &b"POST"[..]) } else { (Method::GET, &b"GET"[..]) };
            line.method = method;
            line.method_name.extend_from_slice(name);
            line.raw_uri.extend_from_slice(target);
            line.text.extend_from_slice(&[name, b" ", target, b" HTTP/1.1"].concat());
            let at = memchr::memchr(b'?', target).unwrap_or(target.len());
            let (path, args) = target.split_at_checked(at).unwrap_or((target, &[]));
            line.uri.extend_from_slice(path);
            line.args.extend_from_slice(args.strip_prefix(b"?").unwrap_or_default());
            line.raw_is_valid = false;
        }
        if check.grpc.is_some() {
            let mut headers = request.headers.borrow_mut();
            headers.push(b"Content-Type", b"application/grpc");
            headers.push(b"TE", b"trailers");
        }
        request
    }

    fn exchange(&self, request: &Rc<Request>) -> Exchange {
        let state = self.worker.state::<State>();
        let record = state.record();
        request.set_lasting(record.clone());
        let body = match &self.ready.check.grpc {
            None => (Source::Nothing, Sent::Nothing),
            Some(question) => {
                let body = question.body();
                let length = body.len() as u64;
                (Source::Own(Rc::new(body)), Sent::Length(length))
            }
        };
        let evaluated = self.ready.route.pass.url.as_ref().map(checks::bare);
        Exchange::new(request.clone(), self.ready.route.clone(), record, self.upstream.clone(), state, evaluated, body)
    }

    async fn question(&self, request: &Rc<Request>, server: Server) -> bool {
        let mut exchange = self.exchange(request);
        exchange.choose_secure();
        exchange.choose_local();
        let passed = exchange.encode() && self.receive(&mut exchange, server).await;
        exchange.state.put_scratch(exchange.scratch);
        passed
    }

    async fn receive(&self, exchange: &mut Exchange, server: Server) -> bool {
        let name = server.name.clone();
        let choice = Choice::of(Rc::new(Peer::new(server)), clock::monotonic_ms());
        let lease = Lease::new(self.upstream.clone(), choice);
        exchange.record.begin(&name, true, clock::monotonic_ms());
        let most = self.body_wanted();
        let (idle, opened) = self.idle(&name).map_or((None, Instant::now()), |(connection, opened)| (Some(connection), opened));
        let heard = match Attempt::exchange(exchange, &lease, idle, most).await {
            Err(ProbeFailure { stale: true }) => Attempt::exchange(exchange, &lease, None, most).await,
            heard => heard,
        };
        let Ok(mut heard) = heard else { return false };
        if let Some(connection) = heard.connection.take() {
            self.put(name, connection, opened);
        }
        self.matches(exchange, &heard)
    }

    fn body_wanted(&self) -> usize {
        let own = match (&self.ready.check.grpc, &self.ready.test) {
            (Some(_), _) => grpc::BODY,
            (None, Some(test)) => test.body_wanted(),
            (None, None) => 0,
        };
        // The connection serves again only if the response is read whole.
        if self.ready.check.keepalive > 0 { own.max(test::BODY) } else { own }
    }

    fn matches(&self, exchange: &Exchange, heard: &ProbeAnswer) -> bool {
        let (request, record) = (&exchange.request, &exchange.record);
        let at = |action| request.action.set(action);
        at(CHECKING_STATUS);
        if let Some(question) = &self.ready.check.grpc {
            return question.accepts(&heard.body, grpc_status(record));
        }
        let Some(test) = &self.ready.test else { return (200..400).contains(&heard.status) };
        if !test.matches_status(heard.status) {
            return false;
        }
        let [header, body, variables] = test.required_parts();
        if header {
            at("checking header");
            if !test.matches_header(&record.head.borrow(), &record.lines.borrow()) {
                return false;
            }
        }
        if body {
            at("checking body");
            if !test.matches_body(&heard.body) {
                return false;
            }
        }
        if variables {
            at("checking variables");
            return test.has_all(request);
        }
        true
    }

    /// The connection that the last question to this server left, if that may be used again.
    fn idle(&self, name: &Rc<str>) -> Option<Idle> {
        let (connection, opened) = self.idle.borrow_mut().remove(name)?;
        let fresh = opened.elapsed() < Duration::from_millis(self.ready.check.keepalive);
        (fresh && connection.channel.stream().is_quiet()).then_some((connection, opened))
    }

    fn put(&self, name: Rc<str>, connection: Box<UpstreamConnection>, opened: Instant) {
        let most = Duration::from_millis(self.ready.check.keepalive);
        let mut idle = self.idle.borrow_mut();
        // Those of servers that have gone.
        idle.retain(|_, (_, opened)| opened.elapsed() < most);
        if opened.elapsed() < most {
            idle.insert(name, (connection, opened));
        }
    }
}

/// `grpc-status` of the trailers, or of a response that is nothing but a header.
fn grpc_status(record: &Record) -> Option<u64> {
    let trailers = grpc::status(&record.trailers.borrow());
    let head = record.head.borrow();
    let lines = record.lines.borrow();
    let own = lines.iter().find(|line| line.name.of(&head).eq_ignore_ascii_case(b"grpc-status"));
    trailers.or_else(|| own.and_then(|line| base::text::parse_number(line.value.of(&head))))
}
