//! The state of one handshake: what its code has chosen so far.

use crate::protocol::Protocol;
use session::contexts::Reusable;
use session::tls::{ClientHello, Secured};
use std::cell::{Cell, RefCell};
use std::rc::{Rc, Weak};
use std::sync::Arc;
use tls::certificate::{Chain, Key, Pair};
use tls::error::TlsError;
use tls::handshake_store::{HandshakeStore, NewSession};
use tls::server::Settings;
use tls::verify::ClientVerifier;

/// The certificates that code has set.
#[derive(Default)]
pub(crate) struct SetCertificates {
    /// Those of the configuration are out.
    pub(crate) cleared: bool,
    /// Chains, the last one set last.
    pub(crate) chains: Vec<Chain>,
    /// Keys, the last one set last.
    pub(crate) keys: Vec<Key>,
    /// A response of OCSP to staple.
    pub(crate) staple: Option<Vec<u8>>,
    /// Who verifies the client's certificate.
    pub(crate) clients: Option<Arc<ClientVerifier>>,
}

impl SetCertificates {
    /// Those that belong together, the last ones first.
    pub(crate) fn pairs(&self) -> Vec<Pair> {
        let mut pairs: Vec<Pair> = Vec::new();
        for chain in self.chains.iter().rev() {
            let made = self.keys.iter().rev().find_map(|key| Pair::new(chain, key).ok());
            pairs.extend(made.filter(|made| !pairs.iter().any(|pair| pair.is_like(made))));
        }
        pairs
    }

    /// Whether a key fits one of the chains, or there is none yet.
    pub(crate) fn accepts_key(&self, key: &Key) -> bool {
        self.chains.is_empty() || self.chains.iter().any(|chain| Pair::new(chain, key).is_ok())
    }

    /// The settings with what was chosen.
    pub(crate) fn apply(&self, settings: Settings) -> Result<Settings, TlsError> {
        let mut settings = settings;
        if let Some(clients) = &self.clients {
            settings = settings.with_clients(clients.clone())?;
        }
        let mut pairs = self.pairs();
        if pairs.is_empty() && !self.cleared && self.staple.is_none() {
            return Ok(settings);
        }
        if !self.cleared {
            let others = settings.pairs().iter().filter(|old| !pairs.iter().any(|pair| pair.is_like(old)));
            let others: Vec<Pair> = others.cloned().collect();
            pairs.extend(others);
        }
        if let Some(staple) = &self.staple {
            pairs = pairs.iter().map(|pair| pair.with_ocsp(Some(staple.clone()))).collect();
        }
        Ok(settings.with_pairs(pairs))
    }
}

/// The handshake that a session's code runs in.
struct CurrentHandshake<S: Secured>(RefCell<Weak<HandshakeState<S>>>);

impl<S: Secured> Default for CurrentHandshake<S> {
    fn default() -> Self {
        CurrentHandshake(RefCell::default())
    }
}

impl<S: Secured> Reusable for CurrentHandshake<S> {
    fn reset(&mut self) {
        self.0.take();
    }
}

/// One handshake.
pub(crate) struct HandshakeState<S: Secured> {
    /// The handshake as the server sees it; it outlives this.
    client_hello: Weak<ClientHello<S>>,
    /// The session that code runs in.
    pub(crate) session: Rc<S>,
    /// The only versions that may be spoken (`set_protocols`).
    pub(crate) versions: RefCell<Option<Vec<u16>>>,
    /// What the session will be made from, once that is known.
    pub(crate) settings: RefCell<Option<Settings>>,
    /// The certificates that code has set.
    pub(crate) certificates: RefCell<SetCertificates>,
    /// The store of this handshake, where code keeps sessions.
    pub(crate) handed: RefCell<Option<Arc<HandshakeStore>>>,
    /// The session that was made.
    pub(crate) made: RefCell<Option<NewSession>>,
    /// The name of a session can be asked for.
    pub(crate) is_fetching: Cell<bool>,
}

impl<S: Secured> HandshakeState<S> {
    /// That of `client_hello`, made at the first time.
    pub(crate) fn of<P: Protocol<Session = S>>(client_hello: &Rc<ClientHello<S>>) -> Rc<HandshakeState<S>> {
        let left = client_hello.leftovers.borrow().clone();
        if let Some(shake) = left.and_then(|left| left.downcast::<HandshakeState<S>>().ok()) {
            return shake;
        }
        let shake = Rc::new(HandshakeState {
            client_hello: Rc::downgrade(client_hello),
            session: client_hello.session(),
            versions: RefCell::default(),
            settings: RefCell::default(),
            certificates: RefCell::default(),
            handed: RefCell::default(),
            made: RefCell::default(),
            is_fetching: Cell::new(false),
        });
        P::context::<CurrentHandshake<S>>(&shake.session).0.replace(Rc::downgrade(&shake));
        client_hello.leftovers.replace(Some(shake.clone()));
        shake
    }

    /// The one that the code of `session` runs in.
    pub(crate) fn current<P: Protocol<Session = S>>(session: &S) -> Option<Rc<HandshakeState<S>>> {
        P::context::<CurrentHandshake<S>>(session).0.borrow().upgrade()
    }

    /// The handshake as the server sees it.
    pub(crate) fn client_hello(&self) -> Result<Rc<ClientHello<S>>, &'static str> {
        self.client_hello.upgrade().ok_or("bad ssl conn")
    }

    /// The settings in the versions that code allows.
    pub(crate) fn limit(&self, settings: Settings) -> Result<Settings, TlsError> {
        match &*self.versions.borrow() {
            Some(versions) => settings.with_versions(|number| versions.contains(&number)),
            None => Ok(settings),
        }
    }
}
