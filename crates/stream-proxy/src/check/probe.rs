//! One question to one server of `stream`: a connection, with TLS and the PROXY protocol where the server has them, or a datagram.

use super::test::{MOST, Test};
use crate::connect::{Job, Route};
use crate::groups::Upstream;
use crate::header;
use crate::lease::Lease;
use crate::pass::Target;
use crate::record::Record;
use crate::settings::Plan;
use balance::{Choice, Peer, Server};
use base::clock;
use base::errno;
use base::log::Level;
use net::connect::Options;
use net::datagram::Datagram;
use net::stream::Stream as Connected;
use session::BoxFuture;
use session::address::Address;
use std::cell::{Cell, RefCell};
use std::io;
use std::rc::Rc;
use std::time::Duration;
use stream::downstream::Downstream;
use stream::session::{Arrival, HEALTH_CHECK};
use stream::{Configuration, Connection, Session, Worker};
use upstream::checks::{Probe, Report};
use upstream::refusal;

/// What is sent as a datagram where no `match` says something else, as in NGINX Plus.
const GREETING: &[u8] = b"nginx health check";
/// Largest datagram that is looked at.
const DATAGRAM: usize = 65_536;

const CONNECTING: &str = "connecting to upstream";
const SENDING: &str = "sending data to upstream";
const CHECKING: &str = "checking data";

/// Asks over TCP and UDP.
pub(super) struct Stream(pub(super) Rc<Prober>);

pub(super) struct Prober {
    pub(super) worker: Rc<Worker>,
    pub(super) configuration: Rc<Configuration>,
    pub(super) server: Rc<stream::Server>,
    pub(super) plan: Rc<Plan>,
    pub(super) upstream: Rc<Upstream>,
    pub(super) udp: bool,
    /// For data, milliseconds.
    pub(super) timeout: u64,
    pub(super) test: Option<Rc<Test>>,
}

impl Probe for Stream {
    fn probe(&self, server: Server, about: String) -> BoxFuture<Report> {
        let asker = self.0.clone();
        Box::pin(async move { asker.run(server, about).await })
    }
}

impl Prober {
    async fn run(&self, server: Server, about: String) -> Report {
        let Some(session) = self.session(about) else { return Report { passed: false, action: CONNECTING } };
        session.action.set(CONNECTING);
        let passed = if self.udp { self.probe_udp(&session, &server).await } else { self.probe_tcp(&session, server).await };
        let report = Report { passed, action: session.action.get() };
        session.run_cleanups();
        report
    }

    /// A session that no client has.
    fn session(&self, about: String) -> Option<Rc<Session>> {
        let nowhere = Address::Unix(None);
        let connection = Connection {
            id: 0,
            peer: nowhere.clone(),
            local: nowhere.clone(),
            requests: Cell::new(0),
            started_ms: 0,
            tls: RefCell::default(),
            proxy_protocol: RefCell::default(),
        };
        let endpoint = self.configuration.listens.first()?.endpoints.first()?.1.clone();
        let downstream = Downstream::Stream(RefCell::new(None));
        let arrival = Arrival { connection: Rc::new(connection), listener: nowhere, endpoint, downstream, passes: 0, first: None };
        let session = Rc::new(Session::new(self.worker.clone(), self.configuration.clone(), arrival));
        session.set_server(self.server.clone());
        session.code.set(HEALTH_CHECK);
        session.log_tail.replace(Some(Rc::new(move |_: &Session, out: &mut Vec<u8>| out.extend_from_slice(about.as_bytes()))));
        Some(session)
    }

    fn data_limit(&self) -> Duration {
        Duration::from_millis(self.timeout)
    }

    async fn probe_tcp(&self, session: &Rc<Session>, server: Server) -> bool {
        let (plan, record) = (&*self.plan, Record::default());
        let target = Target { upstream: self.upstream.clone(), url: None };
        let lease = Lease::new(self.upstream.clone(), Choice::of(Rc::new(Peer::new(server)), clock::monotonic_ms()));
        let local = plan.bind.as_ref().and_then(|bind| bind.local(session));
        let (connect_timeout, timeout) = (plan.connect_timeout, self.timeout);
        let job = Job { session, plan, record: &record, target: &target, local, connect_timeout, timeout };
        let Ok(Route::Stream(stream)) = job.connect(&lease).await else { return false };
        match net::time::timeout(self.data_limit(), self.exchange(session, stream)).await {
            Ok(Ok(passed)) => passed,
            Ok(Err(error)) => {
                session.log(Level::Error, format!("recv() failed {}", errno::describe(&error)).as_bytes());
                false
            }
            Err(_) => {
                session.log(Level::Error, refusal::TIMED_OUT.as_bytes());
                false
            }
        }
    }

    /// Sends the request, and reads until the result is clear.
    async fn exchange(&self, session: &Rc<Session>, mut stream: Connected) -> io::Result<bool> {
        let mut out = Vec::new();
        if let Some(kind) = self.plan.header.filter(|_| self.plan.secure.is_none()) {
            header::push(kind, session, &mut out);
        }
        let Some(test) = &self.test else {
            // The connection is all that is asked for, but who gets a header shall have it.
            if !out.is_empty() {
                stream.write_all(&out).await?;
            }
            return Ok(true);
        };
        out.extend_from_slice(test.send.as_deref().unwrap_or_default());
        session.action.set(SENDING);
        if !out.is_empty() {
            stream.write_all(&out).await?;
        }
        session.action.set(CHECKING);
        let mut so_far = Vec::new();
        loop {
            if let Some(passed) = test.matches(&so_far) {
                return Ok(passed);
            }
            if so_far.len() >= MOST || stream.read(&mut so_far).await? == 0 {
                return Ok(false);
            }
        }
    }

    async fn probe_udp(&self, session: &Rc<Session>, server: &Server) -> bool {
        let plan = &*self.plan;
        let options = Options {
            bind: plan.bind.as_ref().and_then(|bind| bind.local(session)),
            transparent: plan.bind.as_ref().is_some_and(|bind| bind.transparent),
            receive_buffer: plan.socket_rcvbuf,
            send_buffer: plan.socket_sndbuf,
            ..Options::default()
        };
        let socket = match Datagram::connect(&server.address, options) {
            Ok(socket) => socket,
            Err(failure) => {
                let (level, line) = refusal::line(&server.address, &failure);
                session.log(level, line.as_bytes());
                return false;
            }
        };
        let (waits, send) = match &self.test {
            Some(test) => (test.waits(), test.send.as_deref().unwrap_or(GREETING)),
            None => (false, GREETING),
        };
        session.action.set(SENDING);
        let told =
            |call: &str, error: &io::Error| session.log(Level::Error, format!("{call} failed {}", errno::describe(error)).as_bytes());
        if let Err(error) = socket.try_send(send) {
            told("send()", &error);
            return false;
        }
        session.action.set(CHECKING);
        match net::time::timeout(self.data_limit(), self.receive(&socket)).await {
            Ok(Ok(passed)) => passed,
            Ok(Err(error)) => {
                told("recv()", &error);
                false
            }
            // Nobody has said that nobody is there.
            Err(_) if !waits => true,
            Err(_) => {
                session.log(Level::Error, refusal::TIMED_OUT.as_bytes());
                false
            }
        }
    }

    /// The first datagram that tells.
    async fn receive(&self, socket: &Datagram) -> io::Result<bool> {
        let mut buffer = vec![0; DATAGRAM];
        loop {
            socket.readable().await?;
            match socket.receive_ready(&mut buffer) {
                Ok(count) => {
                    let received = buffer.get(..count).unwrap_or_default();
                    return Ok(self.test.as_ref().is_none_or(|test| test.matches(received) == Some(true)));
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Err(error),
            }
        }
    }
}
