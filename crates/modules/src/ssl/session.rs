//! TLS in `stream`: the handshake phase, and the directives specific to `stream` (nginx manual, `ngx_stream_ssl_module`).

use ::session::handshake_end::HandshakeEnd;
use ::session::status_zone::ServerZone;
use ::session::tls::{ClientVerify, Failed};
use ::session::worker::StreamEvent;
use ::session::{Levels, Outcome};
use base::log::Level;
use conf::context::{Arity, Context};
use conf::row::{Cx, Row};
use conf::scope::Config;
use conf::tree::Error;
use std::rc::Rc;
use stream::{Attach, Phase, Server, Session, Step, handshake, log_session};
use tls::server::alert_record;

/// What only `stream` says.
#[derive(Clone, Default)]
pub(super) struct StreamConf {
    /// `ssl_handshake_timeout`, milliseconds
    timeout: Option<u64>,
    /// `ssl_alpn`
    alpn: Option<Rc<Vec<Vec<u8>>>>,
}

impl Config for StreamConf {
    fn inherit(&mut self, parent: &Self) {
        conf::inherit!(self, parent; timeout, alpn);
    }
}

/// Where the rows of `stream` stand.
pub(super) const STREAM_SERVERS: Context = Context::STREAM.union(Context::STREAM_SERVER);

pub(super) fn levels(levels: &mut Levels) {
    levels.server::<StreamConf>();
}

pub(super) fn rows() -> Vec<Row> {
    vec![
        Row::new("ssl_handshake_timeout", STREAM_SERVERS, Arity::exactly(1), "Longest time for a handshake.", |cx| {
            let value = cx.time_ms(0)?;
            cx.once(&mut cx.server::<StreamConf>().timeout, value)
        }),
        Row::new("ssl_alpn", STREAM_SERVERS, Arity::AtLeast(1), "Protocols that the server speaks, best first.", |cx: &mut Cx<'_>| {
            for (i, word) in cx.args().iter().enumerate() {
                if word.bytes.len() > 255 {
                    return Err(cx.error_at(i, "protocol too long"));
                }
            }
            let names = cx.args().iter().map(|word| word.bytes.clone()).collect();
            cx.once(&mut cx.server::<StreamConf>().alpn, Rc::new(names))
        }),
    ]
}

/// The protocols that a server names.
pub(super) fn alpn(server: &Server) -> Vec<Vec<u8>> {
    server.conf::<StreamConf>().alpn.as_deref().cloned().unwrap_or_default()
}

pub(super) fn attach(place: &mut Attach<'_>) -> Result<(), Error> {
    place.phase(Phase::Ssl, |session| {
        if !session.endpoint.tls {
            return Step::Now(Outcome::Declined);
        }
        let session = session.clone();
        Step::wait(|| async move { handshake(&session).await })
    });
    Ok(())
}

/// Performs the handshake; afterwards the session's stream is TLS.
async fn handshake(session: &Rc<Session>) -> Outcome {
    session.action.set("SSL handshaking");
    if session.core().tcp_nodelay.unwrap_or(true) {
        // It only costs latency if it fails.
        session.with_stream(|stream| stream.set_no_delay(true));
    }
    let mut limit = session.limit(session.conf::<StreamConf>().timeout.unwrap_or(60_000));
    let opened = handshake::open(session, &mut limit).await;
    count(session, &opened);
    match opened {
        Ok(stream) => {
            session.put_stream(stream);
            // What was read so far was the handshake's.
            session.received.set(0);
            if satisfied(session) { Outcome::Declined } else { Outcome::Error }
        }
        Err(Some(failed)) => {
            for (level, line) in &failed.lines {
                session.log(*level, line.as_bytes());
            }
            if let Some(alert) = failed.alert {
                // Who does not take seven bytes learns nothing.
                session.with_stream(|stream| stream.try_write(&alert_record(alert)));
            }
            Outcome::Error
        }
        // Time is up, which nginx does not log.
        Err(None) => Outcome::Error,
    }
}

/// Counts the handshake, for the server that it was for too.
fn count(session: &Session, opened: &Result<net::stream::Stream, Option<Failed>>) {
    let server = session.server();
    let end = match opened {
        Ok(_) => {
            let end = session.connection.tls_info().map(|found| server.tls.end(&found));
            end.unwrap_or(HandshakeEnd::Complete { resumed: false, fault: None })
        }
        Err(Some(failed)) => failed.end(),
        Err(None) => Failed::timed_out().end(),
    };
    session.worker.count(StreamEvent::Handshake(end));
    session.conf::<ServerZone>().count_handshake(&end);
}

/// Whether the client's certificate is what the server demands (`ngx_stream_ssl_handler`).
fn satisfied(session: &Session) -> bool {
    let server = session.server();
    if server.tls.verify.get() == ClientVerify::Off {
        return true;
    }
    match server.tls.refusal(session.connection.tls_info().as_deref()) {
        None => true,
        Some((_, message)) => {
            log_session!(session, Level::Info, "{message}");
            false
        }
    }
}
