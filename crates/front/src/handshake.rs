//! The TLS handshake before a connection's protocol: ClientHello, server name, certificates, ALPN.

use crate::active::Entry;
use crate::protocol::{Accepted, Front, Listener};
use base::log::Level;
use engine::find;
use http::Connection;
use http::protocols::ServerProtocols;
use http::tls::ClientHello;
use net::stream::Stream;
use session::handshake_end::HandshakeEnd;
use session::status_zone::ServerZone;
use session::tls::{Failed, FirstBytes, choose, classify, finish as finish_handshake, preliminary};
use std::cell::RefCell;
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::rc::Rc;
use std::task::{Poll, ready};
use tls::server::alert_record;
use wire::tls::hello::Hello;

/// What a connection became.
pub enum HandshakeOutcome {
    /// A session is established; the index is that of the protocol that ALPN chose.
    Secured(Accepted, Option<u8>),
    /// The client speaks plain text.
    Plain(Accepted),
    /// Nothing: it is closed, and logged.
    Over,
}

/// Performs the handshake. The deadline is already set on the connection's watch.
pub async fn perform(front: &Rc<Front>, mut opened: Accepted) -> HandshakeOutcome {
    let hello = match read_hello(&mut opened).await {
        Ok(Some(hello)) => hello,
        Ok(None) => return HandshakeOutcome::Plain(opened),
        Err(failed) => return refuse(front, &opened, &failed),
    };
    front.log(&opened.listener, &opened.info, Level::Debug, "reusable connection: 0");
    let found = named(&opened.listener, &hello);
    let is_named = found.is_some();
    opened.listener.server = found.unwrap_or_else(|| opened.listener.endpoint.default.clone());
    opened.no_delay = opened.listener.server.own.core.tcp_nodelay.unwrap_or(true) && opened.stream.set_no_delay(true).is_ok();
    if opened.no_delay {
        // The tickets behind a handshake are a small segment, and the first response would wait for its acknowledgement.
        front.log(&opened.listener, &opened.info, Level::Debug, "tcp_nodelay");
    }
    let (worker, listener, info) = (front.worker.clone(), opened.listener.clone(), opened.info.clone());
    let client_hello = Rc::new(ClientHello {
        alpn: protocols(front, &opened.listener).flat_map(|index| front.protocol(index)).flat_map(|p| p.alpn.iter().copied()).collect(),
        hello,
        worker: front.worker.common.clone(),
        connection: opened.info.clone(),
        server: opened.listener.server.clone(),
        is_named,
        subject: Box::new(move || worker.spare.take_detached(&worker, &listener.http, info.clone(), listener.server.clone())),
        leftovers: RefCell::default(),
    });
    // Names of certificates may ask for the client's.
    opened.info.tls.replace(Some(Rc::new(preliminary(&client_hello))));
    let session = match limited(&opened.watch, choose(&client_hello, &opened.listener.endpoint.default)).await {
        None => Err(Failed::timed_out()),
        Some(Err(rejection)) => Err(rejection.into()),
        Some(Ok(settings)) => settings.session().map_err(Failed::from),
    };
    let session = match session {
        Ok(session) => session,
        Err(failed) => return refuse(front, &opened, &failed),
    };
    finish(front, opened, &client_hello, session).await
}

/// What `work` gives, unless the time for the handshake is over before.
pub(crate) async fn limited<T>(watch: &Entry, work: impl Future<Output = T>) -> Option<T> {
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

/// Reads the ClientHello; `None`: the client speaks plain text.
async fn read_hello(opened: &mut Accepted) -> Result<Option<Hello>, Failed> {
    let mut hello = Hello::new();
    poll_fn(|cx| {
        loop {
            match classify(opened.input.unread(), &mut hello) {
                FirstBytes::Plain => return Poll::Ready(Ok(None)),
                FirstBytes::Hello(hello) => return Poll::Ready(Ok(Some(hello))),
                FirstBytes::Malformed(failed) => return Poll::Ready(Err(failed)),
                FirstBytes::More => {}
            }
            if opened.watch.evicted() || opened.watch.read_expired() {
                return Poll::Ready(Err(Failed::timed_out()));
            }
            if !matches!(ready!(opened.poll_fill(cx)), Ok(1..)) {
                return Poll::Ready(Err(if opened.input.unread().is_empty() { Failed::silent() } else { Failed::closed() }));
            }
        }
    })
    .await
}

/// The server that the client names.
pub(crate) fn named(listener: &Listener, hello: &Hello) -> Option<Rc<http::Server>> {
    let host = hello.server_name().and_then(wire::h1::host::validate)?;
    find::by_name(&listener.endpoint, &host.name.to_ascii_lowercase())
}

/// What may be spoken with the server that was chosen, best first.
fn protocols<'f>(front: &'f Front, listener: &Listener) -> impl Iterator<Item = u8> + use<'f> {
    let own = listener.server.conf.share::<ServerProtocols>().unwrap_or_default();
    front.protocols_in(listener.endpoint.requested | own.on)
}

async fn finish(
    front: &Rc<Front>,
    opened: Accepted,
    client_hello: &Rc<ClientHello>,
    session: tls::session::ServerSession,
) -> HandshakeOutcome {
    let Accepted { stream, input, info, watch, listener, no_delay, request_by, resumed, state } = opened;
    let result = limited(&watch, net::tls::accept(stream, session, input.unread())).await;
    let failed = match result {
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
            let mut alpn = None;
            if let Some(found) = stream.established() {
                let Some(found) = limited(&watch, finish_handshake(client_hello, found)).await else {
                    log(front, &listener, &info, &Failed::timed_out());
                    return HandshakeOutcome::Over;
                };
                alpn.clone_from(&found.alpn);
                info.tls.replace(Some(Rc::new(found)));
            }
            let end = info.tls_info().map_or(HandshakeEnd::Failed(None), |found| listener.server.tls.end(&found));
            count(front, &listener, &end);
            let mut choice = protocols(front, &listener);
            let chosen = alpn.and_then(|name| choice.find(|index| front.protocol(*index).is_some_and(|p| p.alpn.contains(&&*name))));
            let input = crate::input::Input::default();
            return HandshakeOutcome::Secured(
                Accepted { stream, input, info, watch, listener, no_delay, request_by, resumed, state },
                chosen,
            );
        }
        Some(Err(failure)) => failure.into(),
        None => Failed::timed_out(),
    };
    log(front, &listener, &info, &failed);
    HandshakeOutcome::Over
}

/// Tells the client, as far as that is still possible, and the log.
fn refuse(front: &Front, opened: &Accepted, failed: &Failed) -> HandshakeOutcome {
    if let Some(alert) = failed.alert {
        // Who does not take seven bytes learns nothing.
        let _ = opened.stream.try_write(&alert_record(alert));
    }
    log(front, &opened.listener, &opened.info, failed);
    HandshakeOutcome::Over
}

pub(crate) fn log(front: &Front, listener: &Listener, info: &Connection, failed: &Failed) {
    count(front, listener, &failed.end());
    for (level, line) in &failed.lines {
        front.log(listener, info, *level, &format!("{line} while SSL handshaking"));
    }
}

/// Counts the handshake, for the server that it was for too.
pub(crate) fn count(front: &Front, listener: &Listener, end: &HandshakeEnd) {
    front.worker.observers.handshake_ended(end);
    if let Some(zone) = listener.server.conf.share::<ServerZone>() {
        zone.count_handshake(end);
    }
}
