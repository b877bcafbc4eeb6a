//! The handshake of TLS before a connection's protocol: ClientHello, choice of the server by its name, certificates, ALPN.

use crate::active::Entry;
use crate::door::{Front, Listener, Opened};
use base::log::Level;
use engine::find;
use http::Connection;
use http::protocols::ServerProtocols;
use http::tls::{Answer, Greeting, Left, Rejection, Revocation, TlsInfo};
use net::stream::Stream;
use net::tls::Failure;
use std::cell::{Cell, RefCell};
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::rc::Rc;
use std::task::{Poll, ready};
use tls::error::TlsError;
use tls::server::alert_record;
use tls::signatures::Signed;
use wire::tls::hello::{Hello, Status};
use wire::tls::{First, first};

/// `internal_error` (RFC 8446, 6.2).
const INTERNAL_ERROR: u8 = 80;

/// What a connection became.
pub enum Shaken {
    /// A session stands; the index is that of the protocol that ALPN chose.
    Session(Opened, Option<u8>),
    /// The client speaks plain text.
    Plain(Opened),
    /// Nothing: it is closed, and logged.
    Over,
}

/// Shakes hands. The deadline is already set on the connection's watch.
pub async fn shake(front: &Rc<Front>, mut opened: Opened) -> Shaken {
    let hello = match greet(&mut opened).await {
        Ok(Some(hello)) => hello,
        Ok(None) => return Shaken::Plain(opened),
        Err(refusal) => return refuse(front, &opened, refusal),
    };
    front.log(&opened.listener, &opened.info, Level::Debug, "reusable connection: 0");
    opened.listener.server = named(&opened.listener, &hello);
    opened.no_delay = opened.listener.server.own.core.tcp_nodelay.unwrap_or(true) && opened.stream.set_no_delay(true).is_ok();
    if opened.no_delay {
        // The tickets behind a handshake are a small segment, and the first answer would wait for its acknowledgement.
        front.log(&opened.listener, &opened.info, Level::Debug, "tcp_nodelay");
    }
    let greeting = Rc::new(Greeting {
        alpn: protocols(front, &opened.listener).flat_map(|index| front.protocol(index)).flat_map(|p| p.alpn.iter().copied()).collect(),
        hello,
        worker: front.worker.clone(),
        http: opened.listener.http.clone(),
        connection: opened.info.clone(),
        server: opened.listener.server.clone(),
        left: RefCell::default(),
    });
    // Names of certificates may ask for the client's.
    opened.info.tls.replace(Some(Rc::new(preliminary(&greeting))));
    let settings = match limited(&opened.watch, choose(&greeting, &opened.listener.endpoint.default)).await {
        Some(settings) => settings,
        None => return refuse(front, &opened, Refusal::TimedOut),
    };
    let session = match settings.map(|settings| settings.session()) {
        Ok(Ok(session)) => session,
        Ok(Err(error)) => {
            return refuse(front, &opened, Refusal::Rejected(Rejection { alert: INTERNAL_ERROR, detail: String::new(), error }));
        }
        Err(rejection) => return refuse(front, &opened, Refusal::Rejected(rejection)),
    };
    finish(front, opened, &greeting, session).await
}

/// What a session is made from: the server's certificates, and what code says in the handshake.
async fn choose(greeting: &Rc<Greeting>, default: &http::Server) -> Result<tls::server::Settings, Rejection> {
    // As in OpenResty the address's default server hears everybody's greeting, unless the named one listens itself.
    if let Some(hooks) = greeting.server.tls.hooks.get().or(default.tls.hooks.get()) {
        hooks.clone().greeted(greeting.clone()).await?;
    }
    let handshakes = greeting.server.tls.handshakes.get().or(default.tls.handshakes.get()).cloned();
    let answer = match handshakes {
        Some(handshakes) => handshakes.answer(greeting),
        None => Answer::Now(Err(Rejection { alert: INTERNAL_ERROR, detail: String::new(), error: TlsError::CERT_CB })),
    };
    let settings = match answer {
        Answer::Now(settings) => settings,
        Answer::Wait(future) => future.await,
    }?;
    match greeting.server.tls.hooks.get() {
        Some(hooks) => hooks.clone().chosen(greeting.clone(), settings).await,
        None => Ok(settings),
    }
}

/// What `work` gives, unless the time for the handshake is over before.
async fn limited<T>(watch: &Entry, work: impl Future<Output = T>) -> Option<T> {
    let mut work = pin!(work);
    poll_fn(|cx| {
        if let Poll::Ready(done) = work.as_mut().poll(cx) {
            return Poll::Ready(Some(done));
        }
        watch.wake_on_expiry(cx.waker());
        if watch.evicted() || watch.read_expired() { Poll::Ready(None) } else { Poll::Pending }
    })
    .await
}

/// Why there is no session.
enum Refusal {
    /// The client has gone or been silent.
    Closed,
    /// `client_header_timeout`, or evicted.
    TimedOut,
    /// What came is no ClientHello.
    Malformed(u8, TlsError),
    /// The server does not want it.
    Rejected(Rejection),
    /// The library says no; the client was told.
    Failed(Failure),
}

async fn greet(opened: &mut Opened) -> Result<Option<Hello>, Refusal> {
    let mut hello = Hello::new();
    poll_fn(|cx| {
        loop {
            match opened.input.rest().first().map(|byte| first(*byte)) {
                Some(First::Plain) => return Poll::Ready(Ok(None)),
                Some(First::Sslv2) => {
                    return Poll::Ready(Err(Refusal::Malformed(70, TlsError::new(258, "unsupported protocol"))));
                }
                Some(First::Tls) => match hello.parse(opened.input.rest()) {
                    Ok(Status::Complete { .. }) => return Poll::Ready(Ok(Some(std::mem::take(&mut hello)))),
                    Ok(Status::Partial) => {}
                    Err(error) => {
                        let (number, words) = error.reason();
                        return Poll::Ready(Err(Refusal::Malformed(error.alert(), TlsError::new(number, words))));
                    }
                },
                None => {}
            }
            if opened.watch.evicted() || opened.watch.read_expired() {
                return Poll::Ready(Err(Refusal::TimedOut));
            }
            if !matches!(ready!(opened.poll_fill(cx)), Ok(1..)) {
                return Poll::Ready(Err(Refusal::Closed));
            }
        }
    })
    .await
}

/// The server that the client names, or the address's default.
fn named(listener: &Listener, hello: &Hello) -> Rc<http::Server> {
    let endpoint = &listener.endpoint;
    let host = hello.server_name().and_then(wire::h1::host::validate);
    let Some(host) = host else { return endpoint.default.clone() };
    find::by_name(endpoint, &host.name.to_ascii_lowercase()).unwrap_or_else(|| endpoint.default.clone())
}

/// What may be spoken with the server that was chosen, best first.
fn protocols<'f>(front: &'f Front, listener: &Listener) -> impl Iterator<Item = u8> + use<'f> {
    let own = listener.server.conf.share::<ServerProtocols>().unwrap_or_default();
    front.protocols_in(listener.endpoint.asked | own.on)
}

fn preliminary(greeting: &Greeting) -> TlsInfo {
    let hello = &greeting.hello;
    TlsInfo {
        server: greeting.server.clone(),
        protocol: "",
        cipher: "",
        group: None,
        resumed: false,
        server_name: hello.server_name().map(Box::from),
        alpn: None,
        client_random: hello.random.of(hello.message()).try_into().unwrap_or_default(),
        suites: hello.suites().collect(),
        groups: hello.groups().collect(),
        signatures: hello.signature_algorithms().collect(),
        signed: Signed::default(),
        exporter: None,
        session_id: Box::default(),
        peer: Box::default(),
        verdict: (0, "ok"),
        revocation: None,
        lacks_authority: false,
        early: Cell::new(false),
        left: None,
    }
}

async fn finish(front: &Rc<Front>, opened: Opened, greeting: &Rc<Greeting>, session: tls::session::ServerSession) -> Shaken {
    let Opened { stream, input, info, watch, listener, no_delay, request_by, resumed, state } = opened;
    let shaken = limited(&watch, net::tls::accept(stream, session, input.rest())).await;
    let refusal = match shaken {
        Some(Ok(tls)) => {
            front.log(&listener, &info, Level::Debug, "SSL_do_handshake: 1");
            if front.is_wordy(&listener)
                && let Some(session) = tls.server()
            {
                front.log(&listener, &info, Level::Debug, &session.summary());
            }
            let stream = Stream::Tls(Box::new(tls));
            // Without tickets nothing of ours carries the acknowledgement of the client's last message, and a client that gathers small
            // segments waits with its request for it. It only costs latency if it fails.
            let _ = stream.set_quick_ack(true);
            let Some(found) = limited(&watch, settle(greeting, &stream)).await else {
                log(front, &listener, &info, &Refusal::TimedOut);
                return Shaken::Over;
            };
            let alpn = learn(&stream, greeting, &info, found);
            front.worker.observers.handshake_ended(info.tls_info().map(|found| found.resumed));
            let mut choice = protocols(front, &listener);
            let chosen = alpn.and_then(|name| choice.find(|index| front.protocol(*index).is_some_and(|p| p.alpn.contains(&&*name))));
            let input = crate::input::Input::default();
            return Shaken::Session(Opened { stream, input, info, watch, listener, no_delay, request_by, resumed, state }, chosen);
        }
        Some(Err(failure)) => Refusal::Failed(failure),
        None => Refusal::TimedOut,
    };
    log(front, &listener, &info, &refusal);
    Shaken::Over
}

/// What must still happen when the handshake is over: others are asked about the client's certificate, code keeps the session.
async fn settle(greeting: &Rc<Greeting>, stream: &Stream) -> (Revocation, Left) {
    let tls = &greeting.server.tls;
    let (mut inquiry, mut protocol) = (None, "");
    if let Some(mut session) = stream.tls().and_then(|tls| tls.server()) {
        protocol = session.protocol().unwrap_or_default();
        if session.verdict().is_some_and(|verdict| verdict.code == 0) {
            inquiry = tls.handshakes.get().and_then(|handshakes| handshakes.inquire(greeting, session.peer_chain()));
        }
    }
    let revocation = match inquiry {
        Some(inquiry) => inquiry.await,
        None => None,
    };
    let left = match tls.hooks.get() {
        Some(hooks) => hooks.clone().finished(greeting.clone(), protocol).await,
        None => None,
    };
    (revocation, left)
}

/// Keeps what requests will ask for. Answers the name that ALPN chose.
fn learn(stream: &Stream, greeting: &Greeting, info: &Connection, (revocation, left): (Revocation, Left)) -> Option<Box<[u8]>> {
    let mut session = stream.tls()?.server()?;
    let verdict = session.verdict().copied();
    let alpn: Option<Box<[u8]>> = session.alpn().map(Box::from);
    let found = TlsInfo {
        protocol: session.protocol().unwrap_or_default(),
        cipher: session.cipher().unwrap_or_default(),
        group: session.group(),
        resumed: session.is_resumed(),
        signed: session.signed(),
        exporter: session.take_exporter(),
        alpn: alpn.clone(),
        peer: session.peer_chain().iter().map(|certificate| Box::from(certificate.as_ref())).collect(),
        verdict: verdict.map_or((0, "ok"), |verdict| (verdict.code, verdict.text())),
        revocation,
        lacks_authority: verdict.is_some_and(tls::verify::Verdict::lacks_authority),
        early: Cell::new(session.is_early()),
        left,
        session_id: if session.is_resumed() { resumed_id(&greeting.hello) } else { Box::default() },
        ..preliminary(greeting)
    };
    info.tls.replace(Some(Rc::new(found)));
    alpn
}

/// What names a session that the client came back to: its identifier, or as OpenSSL does the digest of its ticket.
fn resumed_id(hello: &Hello) -> Box<[u8]> {
    match hello.first_ticket() {
        Some(ticket) => tls::names::sha256(ticket).into(),
        None => hello.session_id.of(hello.message()).into(),
    }
}

/// Tells the client, as far as that is still possible, and the log.
fn refuse(front: &Front, opened: &Opened, refusal: Refusal) -> Shaken {
    let alert = match &refusal {
        Refusal::Malformed(alert, _) => Some(*alert),
        Refusal::Rejected(rejection) => Some(rejection.alert),
        _ => None,
    };
    if let Some(alert) = alert {
        // Who does not take seven bytes learns nothing.
        let _ = opened.stream.try_write(&alert_record(alert));
    }
    log(front, &opened.listener, &opened.info, &refusal);
    Shaken::Over
}

fn log(front: &Front, listener: &Listener, info: &Connection, refusal: &Refusal) {
    front.worker.observers.handshake_ended(None);
    let write = |level, message: &str| front.log(listener, info, level, &format!("{message} while SSL handshaking"));
    let failed = |error: &TlsError| {
        let level = if error.is_ordinary() { Level::Info } else { Level::Crit };
        write(level, &format!("SSL_do_handshake() failed (SSL: {error})"));
    };
    match refusal {
        Refusal::Closed | Refusal::Failed(Failure::Closed) => write(Level::Info, "peer closed connection in SSL handshake"),
        Refusal::TimedOut => write(Level::Info, "client timed out (110: Connection timed out)"),
        Refusal::Malformed(_, error) => failed(error),
        Refusal::Rejected(rejection) => {
            if !rejection.detail.is_empty() {
                write(Level::Error, &rejection.detail);
            }
            failed(&rejection.error);
        }
        Refusal::Failed(Failure::Tls(error)) => failed(error),
        Refusal::Failed(Failure::Io(error)) => {
            write(Level::Info, &format!("peer closed connection in SSL handshake {}", base::errno::describe(error)));
        }
    }
}
