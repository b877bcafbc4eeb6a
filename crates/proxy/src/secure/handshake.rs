//! Shaking hands with an upstream server, and what may go wrong with it.

use crate::secure::plan::{Secured, Target};
use base::log::Level;
use http::{Request, log_request};
use net::stream::Stream;
use net::tls::Failure;
use std::io;
use std::time::Duration;
use tls::error::TlsError;
use tls::verify::Verdict;

/// OpenSSL's number of a certificate that is for another name.
const MISMATCH: u16 = 62;

/// Why there is no session. It has been logged, but for the time limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Nothing can be offered to any server.
    Internal,
    /// The server.
    Server,
    /// The server took too long.
    TimedOut,
}

/// Makes a session on a new connection and judges the server: `server` is its group and its address.
///
/// # Errors
/// When there is none, or the server is not the one that is wanted.
pub async fn shake(
    request: &Request,
    secured: &Secured,
    target: &Target,
    server: &[&str],
    stream: Stream,
    limit: Duration,
) -> Result<Stream, Fault> {
    let internal = |text: String| {
        request.log(Level::Error, text.as_bytes());
        Fault::Internal
    };
    let settings = secured.settings(target).map_err(|error| internal(error.to_string()))?;
    let slot = secured.plan().slot(server, target);
    let name = target.sent.then_some(target.name.as_str());
    let session = settings.session(name, slot).map_err(|error| internal(format!("SSL_new() failed (SSL: {error})")))?;
    if target.sent {
        log_request!(request, Level::Debug, "upstream SSL server name: \"{}\"", target.name);
    }
    request.action.set("SSL handshaking to upstream");
    let stream = match tokio::time::timeout(limit, net::tls::connect(stream, session)).await {
        Err(_) => return Err(Fault::TimedOut),
        Ok(Err(failure)) => {
            complain(request, &failure);
            return Err(Fault::Server);
        }
        Ok(Ok(stream)) => stream,
    };
    if request.log_enabled(Level::Debug)
        && let Some(session) = stream.client()
    {
        request.log(Level::Debug, session.summary().as_bytes());
        if session.is_resumed() {
            request.log(Level::Debug, b"SSL reused session");
        }
    }
    if secured.verify {
        let found = stream.client().and_then(|mut session| {
            let first = session.verdict(Some(&target.name))?;
            // What is wrong with the chain itself comes first.
            let chain = if first.code == MISMATCH { session.verdict(None)? } else { first };
            Some((first, chain))
        });
        judge(request, target, found)?;
    }
    Ok(Stream::Tls(Box::new(stream)))
}

fn judge(request: &Request, target: &Target, found: Option<(Verdict, Verdict)>) -> Result<(), Fault> {
    let (first, chain) = found.unwrap_or((Verdict::UNSPECIFIED, Verdict::UNSPECIFIED));
    if !chain.is_ok() {
        log_request!(request, Level::Error, "upstream SSL certificate verify error: ({}:{})", chain.code, chain.text());
        return Err(Fault::Server);
    }
    if !first.is_ok() || target.name.is_empty() {
        log_request!(request, Level::Error, "upstream SSL certificate does not match \"{}\"", target.name);
        return Err(Fault::Server);
    }
    Ok(())
}

fn complain(request: &Request, failure: &Failure) {
    match failure {
        Failure::Tls(error) => {
            let level = if error.is_ordinary() { Level::Error } else { Level::Crit };
            log_request!(request, level, "SSL_do_handshake() failed (SSL: {error})");
        }
        Failure::Io(error) => {
            log_request!(request, Level::Error, "peer closed connection in SSL handshake {}", base::errno::describe(error));
        }
        Failure::Closed => log_request!(request, Level::Error, "{failure}"),
    }
}

/// The line about a call that failed on a connection: `plain` is the call without TLS, `secure` the one with it.
#[must_use]
pub fn trouble(plain: &str, secure: &str, error: &io::Error) -> Vec<u8> {
    match error.get_ref().and_then(|inner| inner.downcast_ref::<TlsError>()) {
        Some(inner) => format!("{secure} failed (SSL: {inner})").into_bytes(),
        None => format!("{plain} failed {}", base::errno::describe(error)).into_bytes(),
    }
}
