//! Runs a server's code in its handshakes.

use crate::code::Code;
use crate::protocol::Protocol;
use crate::ssl::handshake_code::{HandshakeCode, Outcome};
use crate::ssl::handshake_state::HandshakeState;
use base::log::Level;
use conf::scope::Config;
use lua::LuaPhase;
use session::tls::{ClientHello, HandshakeLeftovers, Hooks, Rejection};
use session::{BoxFuture, log_client};
use std::rc::Rc;
use tls::error::TlsError;
use tls::server::Settings;
use wire::tls::hello::extension;

/// `internal_error` and `handshake_failure` (RFC 8446, 6.2).
const INTERNAL_ERROR: u8 = 80;
const HANDSHAKE_FAILURE: u8 = 40;
/// Sessions of later versions are sealed into tickets.
const TLS1_2: u16 = 0x0303;

/// The code of a server.
pub struct Conf<S> {
    /// `ssl_client_hello_by_lua*`
    pub(crate) hello: Option<Rc<Code<S>>>,
    /// `ssl_certificate_by_lua*`
    pub(crate) certificate: Option<Rc<Code<S>>>,
    /// `ssl_session_fetch_by_lua*`
    pub(crate) fetch: Option<Rc<Code<S>>>,
    /// `ssl_session_store_by_lua*`
    pub(crate) store: Option<Rc<Code<S>>>,
}

impl<S> Default for Conf<S> {
    fn default() -> Self {
        Conf { hello: None, certificate: None, fetch: None, store: None }
    }
}

impl<S: 'static> Config for Conf<S> {
    fn inherit(&mut self, parent: &Self) {
        conf::inherit!(self, parent; hello, certificate, fetch, store);
    }
}

/// The code of one server.
pub(crate) struct CodeHooks<P: Protocol> {
    hello: HandshakeCode<P>,
    fetch: HandshakeCode<P>,
    certificate: HandshakeCode<P>,
    store: HandshakeCode<P>,
}

fn rejected(error: TlsError) -> Rejection {
    Rejection { alert: INTERNAL_ERROR, detail: String::new(), error }
}

impl<P: Protocol> CodeHooks<P> {
    pub(crate) fn new(conf: &Conf<P::Session>) -> CodeHooks<P> {
        let hello = ("ssl client hello", "ssl_client_hello_by_lua", "client hello cb");
        let fetch = ("ssl session fetch", "ssl_session_fetch_by_lua*", "sess get cb");
        let certificate = ("ssl cert", "ssl_certificate_by_lua", "cert cb");
        let store = ("ssl session store", "ssl_session_store_by_lua*", "sess new cb");
        CodeHooks {
            hello: HandshakeCode::new(&conf.hello, LuaPhase::SSL_CLIENT_HELLO, hello),
            fetch: HandshakeCode::new(&conf.fetch, LuaPhase::SSL_SESS_FETCH, fetch),
            certificate: HandshakeCode::new(&conf.certificate, LuaPhase::SSL_CERT, certificate),
            store: HandshakeCode::new(&conf.store, LuaPhase::SSL_SESS_STORE, store),
        }
    }

    async fn choose(&self, client_hello: &Rc<ClientHello<P::Session>>, settings: Settings) -> Result<Settings, Rejection> {
        let shake = HandshakeState::of::<P>(client_hello);
        let mut settings = shake.limit(settings).map_err(rejected)?;
        let keeps = self.fetch.has_code() || self.store.has_code();
        if keeps && settings.version(client_hello.hello.versions()) == Some(TLS1_2) {
            let (with, handed) = settings.with_handed();
            settings = with;
            shake.handed.replace(Some(handed));
            let hello = &client_hello.hello;
            let ticket = settings.has_tickets() && hello.extension(extension::SESSION_TICKET).is_some_and(|ticket| !ticket.is_empty());
            if !hello.session_id.is_empty() && !ticket {
                shake.is_fetching.set(true);
                // Without a session the handshake goes on.
                self.fetch.run(&shake.session).await;
                shake.is_fetching.set(false);
            }
        }
        shake.settings.replace(Some(settings.clone()));
        if self.certificate.run(&shake.session).await == Outcome::Badly {
            return Err(rejected(TlsError::CERT_CB));
        }
        let chosen = std::mem::take(&mut *shake.certificates.borrow_mut());
        let settings = chosen.apply(settings).map_err(rejected)?;
        if settings.pairs().is_empty() {
            return Err(Rejection { alert: HANDSHAKE_FAILURE, detail: String::new(), error: TlsError::NO_CIPHER });
        }
        Ok(settings)
    }

    async fn finish(&self, client_hello: &Rc<ClientHello<P::Session>>, protocol: &str) -> HandshakeLeftovers {
        let shake = client_hello.leftovers.take()?.downcast::<HandshakeState<P::Session>>().ok()?;
        let made = shake.handed.take().and_then(|handed| handed.new_session());
        if protocol == "TLSv1.2"
            && let Some(made) = made
        {
            shake.made.replace(Some(made));
            self.store.run(&shake.session).await;
        } else if protocol == "TLSv1.3" && self.store.has_code() {
            log_client!(shake.session, Level::Debug, "ssl_session_store_by_lua*: skipped since TLS version >= 1.3 (304)");
        }
        // A session that goes on behind the handshake has its table already.
        if !P::is_apart(&shake.session) {
            return None;
        }
        Some(Rc::new((*P::state_of(&shake.session)).as_ref().ctx.take()?))
    }
}

impl<P: Protocol> Hooks<P::Session> for CodeHooks<P> {
    fn client_hello(self: Rc<Self>, client_hello: Rc<ClientHello<P::Session>>) -> BoxFuture<Result<(), Rejection>> {
        Box::pin(async move {
            if !self.hello.has_code() {
                return Ok(());
            }
            match self.hello.run(&HandshakeState::of::<P>(&client_hello).session).await {
                Outcome::Badly => Err(rejected(TlsError::CALLBACK_FAILED)),
                Outcome::Absent | Outcome::Well => Ok(()),
            }
        })
    }

    fn certificate(
        self: Rc<Self>,
        client_hello: Rc<ClientHello<P::Session>>,
        settings: Settings,
    ) -> BoxFuture<Result<Settings, Rejection>> {
        Box::pin(async move { self.choose(&client_hello, settings).await })
    }

    fn finished(self: Rc<Self>, client_hello: Rc<ClientHello<P::Session>>, protocol: &'static str) -> BoxFuture<HandshakeLeftovers> {
        Box::pin(async move { self.finish(&client_hello, protocol).await })
    }
}
