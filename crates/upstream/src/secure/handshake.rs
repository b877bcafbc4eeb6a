//! TLS handshakes with upstream servers, and their errors.

use crate::secure::hooks::ServerChain;
use crate::secure::plan::{Secured, TlsTarget};
use base::log::Level;
use net::stream::Stream;
use net::tls::{HandshakeFailure, TlsStream};
use session::{Client, log_client};
use std::fmt;
use std::io;
use std::rc::Rc;
use std::time::Duration;
use tls::client::Settings;
use tls::error::TlsError;
use tls::session::ClientSession;
use tls::verify::Verdict;

/// OpenSSL's number of a certificate that is for another name.
const MISMATCH: u16 = 62;

/// Why there is no session. It has been logged, but for the time limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HandshakeError {
    /// Nothing can be offered to any server.
    Internal,
    /// The server.
    Server,
    /// The server took too long.
    TimedOut,
}

impl fmt::Display for HandshakeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            HandshakeError::Internal => "no TLS session can be offered",
            HandshakeError::Server => "the TLS handshake with the server failed",
            HandshakeError::TimedOut => "the TLS handshake timed out",
        })
    }
}

impl std::error::Error for HandshakeError {}

/// A session, and what its server was found to be.
struct HandshakeDone {
    stream: TlsStream<Stream>,
    /// What is wrong with the chain.
    chain: Verdict,
    /// The certificate is for the name that is wanted.
    is_named: bool,
}

/// Makes a session on a new connection and verifies the server: `server` is its group and its address.
///
/// # Errors
/// When there is none, or the server is not the one that is wanted.
pub async fn perform<S: Client>(
    client: &Rc<S>,
    secured: &Secured<S>,
    target: &TlsTarget,
    server: &[&str],
    stream: Stream,
    limit: Duration,
) -> Result<Stream, HandshakeError> {
    let settings = secured.settings(target).map_err(|error| internal(&**client, &error.to_string()))?;
    if target.sent {
        log_client!(client, Level::Debug, "upstream SSL server name: \"{}\"", target.name);
    }
    let opening = async {
        let stream = open(client, secured, target, &settings, server, stream).await?;
        verify(client, secured, target, stream).await.map_err(|failure| report(&**client, &failure))
    };
    let done = net::time::timeout(limit, opening).await.map_err(|_| HandshakeError::TimedOut)??;
    if secured.verify {
        check(&**client, target, &done)?;
    }
    Ok(Stream::Tls(Box::new(done.stream)))
}

fn internal<S: Client>(client: &S, text: &str) -> HandshakeError {
    client.log(Level::Error, text.as_bytes());
    HandshakeError::Internal
}

/// Makes a session.
async fn open<S: Client>(
    client: &Rc<S>,
    secured: &Secured<S>,
    target: &TlsTarget,
    settings: &Settings,
    server: &[&str],
    stream: Stream,
) -> Result<TlsStream<Stream>, HandshakeError> {
    let name = target.sent.then_some(target.name.as_str());
    let opened = match &secured.plan().hooks().certificate {
        None => {
            let session = settings.session(name, secured.plan().slot(server, target));
            let session = session.map_err(|error| internal(&**client, &format!("SSL_new() failed (SSL: {error})")))?;
            net::tls::connect(stream, session).await
        }
        Some(hook) => {
            let choose = |version| hook.choose(client, version);
            net::tls::client_certificate::connect(stream, |asked| settings.with_chooser(asked).session(name, None), choose).await
        }
    };
    let stream = opened.map_err(|failure| report(&**client, &failure))?;
    if client.log_enabled(Level::Debug)
        && let Some(session) = stream.client()
    {
        client.log(Level::Debug, b"SSL_do_handshake: 1");
        client.log(Level::Debug, session.summary().as_bytes());
        if session.is_resumed() {
            client.log(Level::Debug, b"SSL reused session");
        }
    }
    Ok(stream)
}

/// Verifies a server by its chain, or lets code do so.
async fn verify<S: Client>(
    client: &Rc<S>,
    secured: &Secured<S>,
    target: &TlsTarget,
    stream: TlsStream<Stream>,
) -> Result<HandshakeDone, HandshakeFailure> {
    let hooks = secured.plan().hooks();
    let refused = Err(HandshakeFailure::Tls(TlsError::VERIFY_FAILED));
    let skips = hooks.verify.is_some() && hooks.skip_default_verify == Some(true);
    if hooks.verify.is_some() && !skips {
        log_client!(client, Level::Debug, "proxy_ssl_verify_by_lua: openssl default verify");
    }
    let asked = secured.verify || secured.demands_peer || hooks.verify.is_some();
    let found = |session: &mut ClientSession, name| session.verdict(name).unwrap_or(Verdict::UNSPECIFIED);
    let (mut chain, mut is_named, mut shown) = (Verdict::OK, true, None);
    if let Some(mut session) = stream.client().filter(|_| asked) {
        let first = found(&mut session, Some(&target.name));
        // What is wrong with the chain itself comes first.
        chain = if first.code == MISMATCH { found(&mut session, None) } else { first };
        is_named = first.is_ok() || (first.code != MISMATCH && tls::verify::is_for(session.peer_chain(), &target.name));
        let version = if session.protocol() == Some("TLSv1.3") { 0x0304 } else { 0x0303 };
        shown = Some(ServerChain { version, chain: session.peer_chain().to_vec(), verdict: if skips { 0 } else { chain.code } });
    }
    if secured.demands_peer && !skips && !chain.is_ok() {
        return refused;
    }
    if let (Some(hook), Some(shown)) = (&hooks.verify, shown) {
        // A chain that is to be good and is not needs no other judge.
        if skips || !secured.verify || chain.is_ok() {
            chain = Verdict::new(hook.verify(client, shown).await.map_err(HandshakeFailure::Tls)?);
        }
    }
    Ok(HandshakeDone { stream, chain, is_named })
}

fn check<S: Client>(client: &S, target: &TlsTarget, done: &HandshakeDone) -> Result<(), HandshakeError> {
    let chain = done.chain;
    if !chain.is_ok() {
        log_client!(client, Level::Error, "upstream SSL certificate verify error: ({}:{})", chain.code, chain.text());
        return Err(HandshakeError::Server);
    }
    if !done.is_named || target.name.is_empty() {
        log_client!(client, Level::Error, "upstream SSL certificate does not match \"{}\"", target.name);
        return Err(HandshakeError::Server);
    }
    Ok(())
}

fn report<S: Client>(client: &S, failure: &HandshakeFailure) -> HandshakeError {
    match failure {
        HandshakeFailure::Tls(error) => {
            let level = if error.is_ordinary() { Level::Error } else { Level::Crit };
            log_client!(client, level, "SSL_do_handshake() failed (SSL: {error})");
        }
        HandshakeFailure::Io(error) => {
            log_client!(client, Level::Error, "peer closed connection in SSL handshake {}", base::errno::describe(error));
        }
        HandshakeFailure::Closed => log_client!(client, Level::Error, "{failure}"),
    }
    HandshakeError::Server
}

/// The line about a call that failed on a connection: `plain` is the call without TLS, `secure` the one with it.
#[must_use]
pub fn error_line(plain: &str, secure: &str, error: &io::Error) -> Vec<u8> {
    match error.get_ref().and_then(|inner| inner.downcast_ref::<TlsError>()) {
        Some(inner) => format!("{secure} failed (SSL: {inner})").into_bytes(),
        None => format!("{plain} failed {}", base::errno::describe(error)).into_bytes(),
    }
}
