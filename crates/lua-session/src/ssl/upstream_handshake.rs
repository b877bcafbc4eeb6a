//! Runs a location's code in its handshakes with upstream servers.

use crate::code::Code;
use crate::protocol::Protocol;
use crate::ssl::handshake_code::{HandshakeCode, Outcome};
use crate::ssl::handshake_state::SetCertificates;
use lua::LuaPhase;
use session::BoxFuture;
use session::contexts::Reusable;
use std::cell::{Cell, RefCell};
use std::rc::Rc;
use tls::certificate::CertificateDer;
use tls::chooser::CertificateChoice;
use tls::error::TlsError;
use upstream::secure::hooks::{ChooseCertificate, ServerChain, VerifyServer};

/// The handshake that the code of a session runs in.
#[derive(Default)]
pub(crate) struct UpstreamHandshake {
    /// The version of its session; 0: there is none.
    pub(crate) version: Cell<u16>,
    /// The certificates that code has set.
    pub(crate) certificates: RefCell<SetCertificates>,
    /// The server's own certificate, while it is verified.
    pub(crate) peer_certificate: RefCell<Option<CertificateDer<'static>>>,
    /// OpenSSL's code of what is wrong with the server.
    pub(crate) verdict: Cell<u16>,
}

impl Reusable for UpstreamHandshake {
    fn reset(&mut self) {
        *self = UpstreamHandshake::default();
    }
}

/// `proxy_ssl_certificate_by_lua*`
pub(crate) struct UpstreamCertificateChooser<P: Protocol>(Rc<HandshakeCode<P>>);

/// `proxy_ssl_verify_by_lua*`
pub(crate) struct UpstreamVerifier<P: Protocol>(Rc<HandshakeCode<P>>);

/// What a session was doing, for the log.
const SHAKING: &str = "proxy pass SSL handshaking";

impl<P: Protocol> UpstreamCertificateChooser<P> {
    /// The one whose choice `code` makes.
    pub(crate) fn new(code: Rc<Code<P::Session>>) -> UpstreamCertificateChooser<P> {
        let names = ("proxy ssl cert", "proxy_ssl_certificate_by_lua", "cert cb");
        UpstreamCertificateChooser(Rc::new(HandshakeCode::new(&Some(code), LuaPhase::PROXY_SSL_CERT, names)))
    }
}

impl<P: Protocol> UpstreamVerifier<P> {
    /// The one whose judgement `code` makes.
    pub(crate) fn new(code: Rc<Code<P::Session>>) -> UpstreamVerifier<P> {
        let names = ("proxy ssl verify", "proxy_ssl_verify_by_lua", "cert verify callback");
        UpstreamVerifier(Rc::new(HandshakeCode::new(&Some(code), LuaPhase::PROXY_SSL_VERIFY, names)))
    }
}

impl<P: Protocol> ChooseCertificate<P::Session> for UpstreamCertificateChooser<P> {
    fn choose(&self, session: &Rc<P::Session>, version: u16) -> BoxFuture<Result<CertificateChoice, TlsError>> {
        let (moment, session) = (self.0.clone(), session.clone());
        Box::pin(async move {
            let toward = P::context::<UpstreamHandshake>(&session);
            toward.version.set(version);
            toward.certificates.take();
            P::set_action(&session, "loading proxy ssl certificate by lua");
            let ended = moment.run(&session).await;
            P::set_action(&session, SHAKING);
            toward.version.set(0);
            let chosen = toward.certificates.take();
            if ended == Outcome::Badly {
                return Err(TlsError::CALLBACK_FAILED);
            }
            Ok(CertificateChoice { pairs: chosen.pairs(), cleared: chosen.cleared })
        })
    }
}

impl<P: Protocol> VerifyServer<P::Session> for UpstreamVerifier<P> {
    fn verify(&self, session: &Rc<P::Session>, shown: ServerChain) -> BoxFuture<Result<u16, TlsError>> {
        let (moment, session) = (self.0.clone(), session.clone());
        Box::pin(async move {
            let toward = P::context::<UpstreamHandshake>(&session);
            toward.version.set(shown.version);
            toward.verdict.set(shown.verdict);
            toward.peer_certificate.replace(shown.chain.into_iter().next());
            P::set_action(&session, "loading proxy ssl verify by lua");
            let ended = moment.run(&session).await;
            P::set_action(&session, SHAKING);
            toward.version.set(0);
            toward.peer_certificate.take();
            if ended == Outcome::Badly { Err(TlsError::VERIFY_FAILED) } else { Ok(toward.verdict.get()) }
        })
    }
}
