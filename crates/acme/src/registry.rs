//! The issuers of a configuration, and the certificates that its servers want from them.

use crate::challenge::{self, ChallengeKind};
use crate::identifier::{self, Identifier};
use crate::issuer::Issuer;
use crate::key::KeyKind;
use crate::order::{Issued, Order, Request};
use crate::zone::{self, Zone};
use conf::row::Warnings;
use conf::scope::{Config, Frame};
use conf::tree::{Error, Span};
use http::core::ServerName;
use http::{Levels, Server};
use resolver::settings::Resolving;
use session::Variables;
use shm::Zones;
use std::cell::{OnceCell, RefCell};
use std::rc::Rc;

/// All issuers. Cloning shares them.
#[derive(Clone, Default)]
pub(crate) struct Registry(Rc<Shared>);

#[derive(Default)]
struct Shared {
    issuers: RefCell<Vec<Rc<Issuer>>>,
    /// `acme_shared_zone`
    draft: RefCell<Option<(String, usize)>>,
    zone: OnceCell<Zone>,
}

impl Config for Registry {
    fn inherit(&mut self, _: &Self) {}
}

impl Registry {
    pub(crate) fn issuers(&self) -> Vec<Rc<Issuer>> {
        self.0.issuers.borrow().clone()
    }

    pub(crate) fn find(&self, name: &str) -> Option<Rc<Issuer>> {
        self.0.issuers.borrow().iter().find(|issuer| issuer.name == name).cloned()
    }

    pub(crate) fn add(&self, issuer: Issuer) {
        self.0.issuers.borrow_mut().push(Rc::new(issuer));
    }

    /// Takes what `acme_shared_zone` says; false: it was said before.
    pub(crate) fn want_zone(&self, name: String, size: usize) -> bool {
        self.0.draft.borrow_mut().replace((name, size)).is_none()
    }

    /// The zone, once the configuration has been read.
    pub(crate) fn zone(&self) -> Option<Zone> {
        self.0.zone.get().cloned()
    }

    /// Whether control is shown in this way.
    pub(crate) fn uses_challenge(&self, kind: ChallengeKind) -> bool {
        self.0.issuers.borrow().iter().any(|issuer| issuer.challenge == kind)
    }
}

/// `acme_certificate`
pub(crate) struct CertificateConf {
    pub(crate) issuer: String,
    /// None: those of `server_name`.
    pub(crate) identifiers: Vec<Identifier>,
    pub(crate) key: KeyKind,
    pub(crate) span: Span,
}

/// What a server wants.
#[derive(Default)]
pub(crate) struct ServerConf {
    pub(crate) certificate: Option<CertificateConf>,
    placement: OnceCell<Placement>,
}

impl Config for ServerConf {
    fn inherit(&mut self, _: &Self) {}
}

/// An order and where its certificate appears.
struct Placement {
    issuer: Rc<Issuer>,
    order: Rc<Order>,
    zone: Zone,
}

impl Placement {
    /// The certificate that there is now.
    fn now(&self) -> Option<Rc<Issued>> {
        let found = self.zone.certificate(&self.issuer.name, &self.order.id).map(Rc::new);
        self.order.current.borrow_mut().clone_from(&found);
        found
    }

    /// The one whose certificate was shown last.
    fn current(&self) -> Option<Rc<Issued>> {
        let last = self.order.current.borrow().clone();
        last.or_else(|| self.now())
    }
}

pub(crate) fn levels(levels: &mut Levels) {
    levels.main::<Registry>().server::<ServerConf>();
}

/// Claims the zone and the name servers, which may be said behind the issuers.
pub(crate) fn complete(frame: &Frame) -> Result<(), Error> {
    let registry = frame.global.get::<Registry>().clone();
    let wanted = registry.0.draft.borrow().clone();
    if let Some(first) = registry.issuers().first() {
        let (name, size) = wanted.unwrap_or_else(|| (zone::DEFAULT.0.to_owned(), zone::DEFAULT.1));
        let claimed = frame.global.get::<Zones>().claim(&name, zone::OWNER, size);
        let claimed = claimed.map_err(|error| Error::new(error.to_string(), first.span))?;
        let _ = registry.0.zone.set(Zone::new(&claimed));
    }
    for issuer in registry.issuers() {
        let own = frame.location.get::<Resolving>();
        let resolving = Resolving { resolver: own.usable().cloned(), timeout: own.timeout };
        if resolving.resolver.is_none() {
            return Err(Error::new("acme_issuer: \"resolver\" is not configured".to_owned(), issuer.span));
        }
        let _ = issuer.resolving.set(resolving);
    }
    *frame.main.get::<Registry>() = registry;
    Ok(())
}

/// Completes a server: its order, and its part in handshakes of ACME servers.
pub(crate) fn server(server: &Server, _: usize, frame: &Frame) -> Result<(), Error> {
    let registry = frame.global.get::<Registry>().clone();
    if let Some(zone) = registry.zone().filter(|_| registry.uses_challenge(ChallengeKind::Handshake)) {
        let _ = server.tls.proofs.set(Rc::new(challenge::Certificates(zone)));
    }
    let Some(conf) = server.conf.share::<ServerConf>() else { return Ok(()) };
    let Some(certificate) = &conf.certificate else { return Ok(()) };
    let error = |text: String| Error::new(text, certificate.span);
    let mut identifiers = certificate.identifiers.clone();
    if identifiers.is_empty() {
        identifiers = names(&server.core.names, certificate.span, frame).map_err(|text| error(format!("\"acme_certificate\": {text}")))?;
    }
    if identifiers.is_empty() {
        return Err(error("\"acme_certificate\": no identifiers found in \"server_name\"".to_owned()));
    }
    let missing = || error(format!("issuer \"{}\" is missing", certificate.issuer));
    let (issuer, zone) = registry.find(&certificate.issuer).zip(registry.zone()).ok_or_else(missing)?;
    let order = issuer.order(Request { identifiers, key: certificate.key });
    let _ = conf.placement.set(Placement { issuer, order, zone });
    Ok(())
}

/// The identifiers that the names of a server are.
fn names(names: &[ServerName], span: Span, frame: &Frame) -> Result<Vec<Identifier>, String> {
    let mut found = Vec::new();
    let has = |wanted: &dyn Fn(&ServerName) -> bool| names.iter().any(wanted);
    // `.a` is kept as `a` and `*.a`.
    let is_dotted = |host: &[u8]| has(&|name| matches!(name, ServerName::Leading(tail) if tail.strip_prefix(b".") == Some(host)));
    let is_exact = |host: &[u8]| has(&|name| matches!(name, ServerName::Exact(exact) if **exact == *host));
    for name in names {
        let word = match name {
            ServerName::Exact(name) if name.is_empty() || is_dotted(name) => continue,
            ServerName::Exact(name) => name.to_vec(),
            ServerName::Leading(tail) if tail.strip_prefix(b".").is_some_and(is_exact) => tail.to_vec(),
            ServerName::Leading(tail) => [b"*", &**tail].concat(),
            ServerName::Trailing(head) => [&**head, b"*"].concat(),
            ServerName::Regex(_) => {
                let text = "\"acme_certificate\": unsupported regular expression in server_name".to_owned();
                frame.global.get::<Warnings>().list.push(Error::new(text, span));
                continue;
            }
        };
        found.extend(identifier::read(&word).map_err(|error| error.to_string())?);
    }
    Ok(found)
}

/// `$acme_certificate` and `$acme_certificate_key`: what `ssl_certificate` and `ssl_certificate_key` take as `data:`.
pub(crate) fn variables(variables: &mut Variables<http::Request>) {
    fn push_value(
        request: &http::Request,
        find: fn(&Placement) -> Option<Rc<Issued>>,
        part: fn(&Issued) -> &[u8],
        out: &mut Vec<u8>,
    ) -> bool {
        let server = request.server();
        let Some(conf) = server.conf.share::<ServerConf>() else { return false };
        let Some(issued) = conf.placement.get().and_then(find) else { return false };
        out.extend_from_slice(b"data:");
        out.extend_from_slice(part(&issued));
        true
    }
    variables.define("acme_certificate", 0, Rc::new(|request, out| push_value(request, Placement::now, |issued| &issued.chain, out)));
    variables.define("acme_certificate_key", 0, Rc::new(|request, out| push_value(request, Placement::current, |issued| &issued.key, out)));
}
