//! The server's side of a handshake, as far as it is the same for all protocols. Reading, time limits and the log are the protocol's.

use super::{ClientHello, HandshakeLeftovers, HandshakeStep, Rejection, Revocation, Secured, TlsInfo};
use crate::handshake_end::{self, HandshakeEnd, TlsCounter};
use base::errno;
use base::log::Level;
use net::tls::HandshakeFailure;
use std::cell::Cell;
use std::rc::Rc;
use tls::error::TlsError;
use tls::session::Established;
use tls::signatures::Signed;
use wire::tls::hello::{Hello, HelloError, Status};
use wire::tls::{First, first};

/// `internal_error` (RFC 8446, 6.2).
const INTERNAL_ERROR: u8 = 80;
/// `unrecognized_name` (RFC 6066, 3): of a name whose server rejects handshakes.
pub const UNRECOGNIZED_NAME: u8 = 112;
/// `handshake_failure`
const HANDSHAKE_FAILURE: u8 = 40;
/// What an ACME server speaks that looks for a proof (RFC 8737, 6.2).
const ACME: &[u8] = b"acme-tls/1";
/// The number of TLS 1.3.
const TLS1_3: u16 = 0x0304;
/// `protocol_version`
const PROTOCOL_VERSION: u8 = 70;

/// What the first bytes of a connection are.
pub enum FirstBytes {
    /// A part of a ClientHello, or nothing yet.
    More,
    /// No TLS.
    Plain,
    /// A ClientHello.
    Hello(Hello),
    /// What looked like one and is none.
    Malformed(Failed),
}

/// A handshake that failed: the alert for the client, if it is to get one, and what the log says.
pub struct Failed {
    /// The alert.
    pub alert: Option<u8>,
    /// Lines for the log.
    pub lines: Vec<(Level, String)>,
    reason: Option<TlsCounter>,
}

/// Inspects the first bytes; `hello` keeps the parser's state.
pub fn classify(bytes: &[u8], hello: &mut Hello) -> FirstBytes {
    match bytes.first().map(|byte| first(*byte)) {
        None => FirstBytes::More,
        Some(First::Plain) => FirstBytes::Plain,
        Some(First::Sslv2) => FirstBytes::Malformed(Failed::with(PROTOCOL_VERSION, &TlsError::new(258, "unsupported protocol"))),
        Some(First::Tls) => match hello.parse(bytes) {
            Ok(Status::Complete { .. }) => FirstBytes::Hello(std::mem::take(hello)),
            Ok(Status::Partial) => FirstBytes::More,
            Err(error) => FirstBytes::Malformed(error.into()),
        },
    }
}

fn describe(error: &TlsError) -> (Level, String) {
    let level = if error.is_ordinary() { Level::Info } else { Level::Crit };
    (level, format!("SSL_do_handshake() failed (SSL: {error})"))
}

impl Failed {
    fn with(alert: u8, error: &TlsError) -> Failed {
        Failed { alert: Some(alert), lines: vec![describe(error)], reason: handshake_end::reason(error) }
    }

    /// The client has gone or been silent.
    pub fn closed() -> Failed {
        Failed::by_peer("peer closed connection in SSL handshake".to_owned())
    }

    /// The client has gone without a word.
    pub fn silent() -> Failed {
        Failed::by_peer("client closed connection".to_owned())
    }

    /// The client speaks plain text where nothing else than TLS is understood.
    pub fn not_tls() -> Failed {
        Failed::already_logged(&TlsError::new(267, "wrong version number"))
    }

    /// The time for the handshake is over.
    pub fn timed_out() -> Failed {
        let failed = Failed::by_peer("client timed out (110: Connection timed out)".to_owned());
        Failed { reason: Some(TlsCounter::Timeout), ..failed }
    }

    /// What is counted of it.
    pub fn end(&self) -> HandshakeEnd {
        HandshakeEnd::Failed(self.reason)
    }

    /// The client has ended it; `line` says how.
    pub fn by_peer(line: String) -> Failed {
        Failed { alert: None, lines: vec![(Level::Info, line)], reason: None }
    }

    // The library, the transport or nobody tells the client.
    fn already_logged(error: &TlsError) -> Failed {
        Failed { alert: None, lines: vec![describe(error)], reason: handshake_end::reason(error) }
    }
}

impl From<HelloError> for Failed {
    fn from(error: HelloError) -> Failed {
        let (number, words) = error.reason();
        Failed::with(error.alert(), &TlsError::new(number, words))
    }
}

impl From<TlsError> for Failed {
    fn from(error: TlsError) -> Failed {
        Failed::with(INTERNAL_ERROR, &error)
    }
}

impl From<tls::quic::Failed> for Failed {
    fn from(failed: tls::quic::Failed) -> Failed {
        Failed::already_logged(&failed.error)
    }
}

impl From<Rejection> for Failed {
    fn from(rejection: Rejection) -> Failed {
        // `ssl_reject_handshake`
        if rejection.alert == UNRECOGNIZED_NAME {
            return Failed { alert: Some(rejection.alert), ..Failed::by_peer("handshake rejected".to_owned()) };
        }
        let mut failed = Failed::with(rejection.alert, &rejection.error);
        if !rejection.detail.is_empty() {
            failed.lines.insert(0, (Level::Error, rejection.detail));
        }
        failed
    }
}

impl From<HandshakeFailure> for Failed {
    fn from(failure: HandshakeFailure) -> Failed {
        match failure {
            HandshakeFailure::Closed => Failed::closed(),
            HandshakeFailure::Tls(error) => Failed::already_logged(&error),
            HandshakeFailure::Io(error) => Failed::by_peer(format!("peer closed connection in SSL handshake {}", errno::describe(&error))),
        }
    }
}

/// What a session is made from: the server's certificates, and what code says in the handshake.
///
/// # Errors
/// The handshake is refused.
pub async fn choose<S: Secured>(client_hello: &Rc<ClientHello<S>>, default: &S::Server) -> Result<tls::server::Settings, Rejection> {
    if let Some(proofs) = S::tls_of(&client_hello.server).proofs.get().filter(|_| client_hello.hello.alpn().any(|name| name == ACME)) {
        let refused = || Rejection { alert: UNRECOGNIZED_NAME, detail: String::new(), error: TlsError::CALLBACK_FAILED };
        return proofs.settings(client_hello).ok_or_else(refused);
    }
    // As in OpenResty the address's default server sees every ClientHello, unless the named one listens itself.
    if let Some(hooks) = S::tls_of(&client_hello.server).hooks.get().or(S::tls_of(default).hooks.get()) {
        hooks.clone().client_hello(client_hello.clone()).await?;
    }
    let handshakes = S::tls_of(&client_hello.server).handshakes.get().or(S::tls_of(default).handshakes.get()).cloned();
    let answer = match handshakes {
        Some(handshakes) => handshakes.answer(client_hello),
        None => HandshakeStep::Now(Err(Rejection { alert: INTERNAL_ERROR, detail: String::new(), error: TlsError::CERT_CB })),
    };
    let settings = match answer {
        HandshakeStep::Now(settings) => settings,
        HandshakeStep::Wait(future) => future.await,
    }?;
    let settings = match S::tls_of(&client_hello.server).hooks.get() {
        Some(hooks) => hooks.clone().certificate(client_hello.clone(), settings).await?,
        None => settings,
    };
    if settings.version(client_hello.hello.versions()) == Some(TLS1_3) && lacks_signatures(&client_hello.hello) {
        let error = TlsError::new(118, "no suitable signature algorithm");
        return Err(Rejection { alert: HANDSHAKE_FAILURE, detail: String::new(), error });
    }
    Ok(settings)
}

/// Whether the client takes no signature that TLS 1.3 has: the library would find that out behind its own hello.
fn lacks_signatures(hello: &Hello) -> bool {
    // PKCS #1 v1.5 and the hashes before SHA-256 are for certificates only (RFC 8446, 4.2.3).
    let is_old = |scheme: u16| matches!(scheme, 0x0401 | 0x0501 | 0x0601) || scheme < 0x0400;
    let mut all = hello.signature_algorithms().peekable();
    hello.first_ticket().is_none() && all.peek().is_some() && all.all(is_old)
}

/// What is known before the handshake is over: names of certificates may ask for the client's.
pub fn preliminary<S: Secured>(client_hello: &ClientHello<S>) -> TlsInfo<S::Server> {
    let hello = &client_hello.hello;
    TlsInfo {
        server: client_hello.server.clone(),
        is_named: client_hello.is_named,
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
        leftovers: None,
    }
}

/// What must still happen when the handshake is over: others are asked about the client's certificate, code keeps the
/// session. Answers what is known then.
pub async fn finish<S: Secured>(client_hello: &Rc<ClientHello<S>>, found: Established) -> TlsInfo<S::Server> {
    let tls = S::tls_of(&client_hello.server);
    let is_good = found.verdict.is_some_and(|verdict| verdict.code == 0);
    let inquiry = tls.handshakes.get().filter(|_| is_good).and_then(|handshakes| handshakes.check_revocation(client_hello, &found.peer));
    let revocation = match inquiry {
        Some(inquiry) => inquiry.await,
        None => None,
    };
    let left = match tls.hooks.get() {
        Some(hooks) => hooks.clone().finished(client_hello.clone(), found.protocol.unwrap_or_default()).await,
        None => None,
    };
    request_variables(found, client_hello, (revocation, left))
}

/// What sessions will ask for.
fn request_variables<S: Secured>(
    found: Established,
    client_hello: &ClientHello<S>,
    (revocation, left): (Revocation, HandshakeLeftovers),
) -> TlsInfo<S::Server> {
    let verdict = found.verdict;
    TlsInfo {
        protocol: found.protocol.unwrap_or_default(),
        cipher: found.cipher.unwrap_or_default(),
        group: found.group,
        resumed: found.resumed,
        signed: found.signed,
        exporter: found.exporter,
        alpn: found.alpn,
        peer: found.peer.iter().map(|certificate| Box::from(certificate.as_ref())).collect(),
        verdict: verdict.map_or((0, "ok"), |verdict| (verdict.code, verdict.text())),
        revocation,
        lacks_authority: verdict.is_some_and(tls::verify::Verdict::lacks_authority),
        early: Cell::new(found.early),
        leftovers: left,
        session_id: if found.resumed { resumed_id(&client_hello.hello) } else { Box::default() },
        ..preliminary(client_hello)
    }
}

/// What names a session that the client came back to: its identifier, or as OpenSSL does the digest of its ticket.
fn resumed_id(hello: &Hello) -> Box<[u8]> {
    match hello.first_ticket() {
        Some(ticket) => tls::names::sha256(ticket).into(),
        None => hello.session_id.of(hello.message()).into(),
    }
}
