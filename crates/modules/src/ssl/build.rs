//! Builds a server's handshake handlers from the inherited configuration.

use super::cache::{Builtin, OWNER, Shared};
use super::handshakes::{Certificates, OcspResponders, ServerHandshakes};
use super::ocsp_check::{OcspCheck, OcspMode};
use super::responder::Responder;
use super::stapling::{Source, Stapling};
use super::watch::{self, Watch};
use super::{Named, Names, SessionCache, Ssl, session};
use ::session::tls::{ClientVerify, Secured, ServerTls};
use ::session::{Complex, Session};
use base::log::ErrorLog;
use conf::row::Warnings;
use conf::scope::{Frame, Scope};
use conf::switch::Switch;
use conf::tree::{Error, Span};
use resolver::settings::Resolving;
use shm::Zones;
use shm::dict::Dict;
use std::cell::RefCell;
use std::collections::{HashMap, HashSet};
use std::os::fd::OwnedFd;
use std::path::Path;
use std::rc::Rc;
use std::sync::Arc;
use tls::certificate::cache::Cache;
use tls::certificate::{CertificateDer, Pair};
use tls::ciphers::{CipherConf, Offer};
use tls::commands::Commands;
use tls::files::Files;
use tls::key_log::KeyLogFile;
use tls::server::{Options, Settings, StoresServerSessions};
use tls::store::{Bytes, FORMAT, Sessions};
use tls::tickets::{Context, Secret, TicketKey, TicketKeys, Tickets};
use tls::verify::crl::Crl;
use tls::verify::{ClientVerifier, Trust};

/// `ssl_ciphers`
const CIPHERS: &str = "HIGH:!aNULL:!MD5";
/// `ssl_session_timeout`, seconds.
const TIMEOUT: u64 = 300;
/// How much early data a client may send.
const EARLY_DATA: u32 = 16 * 1024;

/// What servers of one configuration need not read or make twice.
#[derive(Default)]
struct Common {
    pairs: HashMap<(String, String), Pair>,
    warned: Vec<String>,
}

/// What makes the keys of tickets where no file says which: it outlives a reload, so that clients can come back after it.
#[derive(Clone, Default)]
struct OwnTicketKeys(Option<Secret>);

impl OwnTicketKeys {
    fn secret(&mut self) -> Option<Secret> {
        if self.0.is_none() {
            self.0 = Secret::random();
        }
        self.0.clone()
    }

    fn get(&mut self) -> Option<Arc<TicketKeys>> {
        self.secret().map(TicketKeys::rotating)
    }
}

/// Takes over what outlives a reload: keys of tickets, and what files hold that have not changed.
pub fn inherit(from: &Scope, to: &Scope) {
    to.get::<OwnTicketKeys>().clone_from(&from.get::<OwnTicketKeys>());
    if from.get::<Inheritable>().0.unwrap_or(true) {
        let files = from.get::<Rc<Files>>().successor();
        *to.get::<Rc<Files>>() = Rc::new(files);
    }
}

/// A secret of the master: the same in all workers, and behind a reload.
pub(crate) fn secret(from: &Scope) -> Vec<u8> {
    from.get::<OwnTicketKeys>().secret().as_ref().map(Secret::to_bytes).unwrap_or_default()
}

/// What another binary has to know that takes over.
#[must_use]
pub fn legacy(from: &Scope) -> Vec<u8> {
    from.get::<OwnTicketKeys>().0.as_ref().map(Secret::to_bytes).unwrap_or_default()
}

/// Takes over what another binary has told, and its zones with sessions.
pub fn take_over(legacy: &[u8], zones: &[Arc<OwnedFd>], to: &Scope) {
    to.get::<OwnTicketKeys>().0 = Secret::from_bytes(legacy);
    to.get::<Zones>().take_over(zones, OWNER, FORMAT);
}

/// `ssl_object_cache_inheritable`
#[derive(Default)]
pub(super) struct Inheritable(pub(super) Option<bool>);

fn error(text: impl Into<String>) -> Error {
    Error::new(text.into(), Span::NONE)
}

/// A server that is to get its part in TLS.
struct ServerSource<'a, S: Secured> {
    /// What it says.
    ssl: Rc<Ssl>,
    /// Where its certificates are.
    names: Rc<Names<S>>,
    /// Its part in TLS.
    tls: &'a ServerTls<S>,
    /// Looks responders up.
    resolving: Rc<Resolving>,
    /// Its log.
    log: Option<ErrorLog>,
    /// Its place in the file.
    index: usize,
    /// Names in ALPN.
    alpn: Vec<Vec<u8>>,
    /// What keeps its sessions apart from those of the other protocol.
    label: &'static str,
    frame: &'a Frame,
}

/// Completes a server of `http`.
pub(super) fn http_server(server: &http::Server, place: usize, frame: &Frame) -> Result<(), Error> {
    let conf = &server.conf;
    let (Some(ssl), Some(names)) = (conf.share(), conf.share()) else { return Ok(()) };
    let (resolving, log) = (server.own.conf.share().unwrap_or_default(), server.own.core.error_log.clone());
    complete(ServerSource { ssl, names, tls: &server.tls, resolving, log, index: place, alpn: Vec::new(), label: "", frame })
}

/// Completes a server of `stream`.
pub(super) fn stream_server(server: &stream::Server, place: usize, frame: &Frame) -> Result<(), Error> {
    let (ssl, names, resolving) = (server.conf(), server.conf(), server.conf());
    let (log, alpn) = (server.core.error_log.clone(), session::alpn(server));
    complete(ServerSource { ssl, names, tls: &server.tls, resolving, log, index: place, alpn, label: "STREAM", frame })
}

/// Completes a server (`ngx_http_ssl_merge_srv_conf`).
fn complete<S: Secured>(whose: ServerSource<'_, S>) -> Result<(), Error> {
    let ssl = whose.ssl.clone();
    // Who has no certificate of its own may still object to clients of its neighbours' handshakes.
    whose.tls.verify.set(ssl.verify.unwrap_or_default());
    let reject = ssl.reject.unwrap_or(false);
    let commands =
        Commands::new(ssl.commands.as_deref().map(Vec::as_slice).unwrap_or_default()).map_err(|problem| error(problem.to_string()))?;
    let pairs = whose.names.pairs(&commands);
    if let Some(lone) = pairs.iter().rfind(|pair| pair.key.is_none()) {
        let name = String::from_utf8_lossy(lone.certificate.source()).into_owned();
        return Err(error(format!("no \"ssl_certificate_key\" is defined for certificate \"{name}\"")));
    }
    if pairs.is_empty() && !reject {
        return Ok(());
    }
    let passwords = ssl.passwords.clone().unwrap_or_default();
    let names: Vec<String> = pairs.iter().map(|pair| String::from_utf8_lossy(pair.certificate.source()).into_owned()).collect();
    let http = whose.frame;
    let files = http.global.get::<Rc<Files>>().clone();
    let mut names = names;
    let mut watch = None;
    let certificates = if pairs.iter().all(is_literal) {
        watch = ssl.watch.unwrap_or(false).then(|| watch_of(&ssl, &pairs, &passwords));
        let loaded = load(&ssl, &pairs, &passwords, &files, &mut http.global.get::<Common>())?;
        let (loaded, of) = Pair::last_of_each_kind(loaded, names);
        names = of;
        Certificates::Fixed(RefCell::new(loaded))
    } else {
        let mut limits = ssl.certificate_cache.and_then(Switch::on);
        if let Some(limits) = limits.as_mut().filter(|_| ssl.watch.unwrap_or(false)) {
            limits.valid_ms = limits.valid_ms.min(watch::PAUSE);
        }
        let cache = limits.map(|limits| RefCell::new(Cache::new(limits)));
        Certificates::Named { pairs, passwords, cache }
    };
    let part = TlsBuilder { ssl: &ssl, commands: &commands, files: &files, whose: &whose, http };
    let settings = settings(&part, certificates.fixed())?;
    ssl.dhparam.as_deref().map_or(Ok(()), dhparam)?;
    let stapled = stapled(&part, &certificates.fixed(), &names)?;
    let inquiry = inquiry(&part)?;
    let asked = OcspResponders { stapled: RefCell::new(stapled), inquiry };
    // Built once for each server.
    let _ = whose.tls.handshakes.set(Rc::new(ServerHandshakes::new(settings, certificates, watch, reject, asked, whose.alpn)));
    Ok(())
}

/// A server's TLS directives and their positions.
struct TlsBuilder<'a, S: Secured> {
    ssl: &'a Ssl,
    commands: &'a Commands,
    files: &'a Files,
    whose: &'a ServerSource<'a, S>,
    http: &'a Frame,
}

impl<S: Secured> TlsBuilder<'_, S> {
    /// The certificates of a file; none, if no file is named.
    fn trusted(&self, path: Option<&Rc<str>>) -> Result<Vec<CertificateDer<'static>>, Error> {
        match path {
            Some(path) => tls::certificate::load_trusted(self.files, path).map_err(|problem| error(problem.to_string())),
            None => Ok(Vec::new()),
        }
    }
}

/// The file must hold parameters, though no suite needs them.
fn dhparam(path: &str) -> Result<(), Error> {
    let failed = |call: &str, what: &str| error(format!("{call}(\"{path}\") failed (SSL: {what})"));
    let text = std::fs::read(path).map_err(|_| failed("BIO_new_file", "error:80000002:system library::No such file or directory"))?;
    let begins = [&b"-----BEGIN DH PARAMETERS-----"[..], b"-----BEGIN X9.42 DH PARAMETERS-----"];
    if begins.iter().all(|line| memchr::memmem::find(&text, line).is_none()) {
        return Err(failed("PEM_read_bio_DHparams", "error:0480006C:PEM routines::no start line:Expecting: DH PARAMETERS"));
    }
    Ok(())
}

fn is_literal<S: Session>(pair: &Named<S>) -> bool {
    pair.certificate.literal().is_some() && pair.key.as_ref().is_none_or(|key| key.literal().is_some())
}

fn text<S: Session>(value: &Complex<S>) -> String {
    String::from_utf8_lossy(value.literal().unwrap_or_default()).into_owned()
}

fn watch_of<S: Session>(ssl: &Ssl, pairs: &[Named<S>], passwords: &Rc<Vec<Vec<u8>>>) -> Watch {
    let names = pairs.iter().map(|pair| (text(&pair.certificate), pair.key.as_ref().map(text).unwrap_or_default()));
    Watch::new(names.collect(), passwords.clone(), ssl.stapling_file.clone().filter(|_| ssl.stapling.unwrap_or(false)))
}

fn load<S: Session>(ssl: &Ssl, pairs: &[Named<S>], passwords: &[Vec<u8>], files: &Files, common: &mut Common) -> Result<Vec<Pair>, Error> {
    let mut loaded = Vec::new();
    for pair in pairs {
        let names = (text(&pair.certificate), pair.key.as_ref().map(text).unwrap_or_default());
        let found = match common.pairs.get(&names) {
            Some(found) => found.clone(),
            None => {
                let made = Pair::load(files, &names.0, &names.1, passwords).map_err(|problem| error(problem.to_string()))?;
                common.pairs.insert(names, made.clone());
                made
            }
        };
        loaded.push(found.with_ocsp(staple(ssl, files)?));
    }
    Ok(loaded)
}

/// Whose status a responder is asked for, in the order of the certificates.
fn stapled<S: Secured>(part: &TlsBuilder<'_, S>, pairs: &[Pair], names: &[String]) -> Result<Vec<Option<Rc<Stapling>>>, Error> {
    let ssl = part.ssl;
    if ssl.stapling.unwrap_or(false) && ssl.compression.unwrap_or(false) {
        return Err(error("\"ssl_stapling\" is incompatible with \"ssl_certificate_compression\""));
    }
    if !ssl.stapling.unwrap_or(false) || ssl.stapling_file.is_some() {
        return Ok(Vec::new());
    }
    let trusted = part.trusted(ssl.trusted_certificate.as_ref())?;
    let mut all = Vec::new();
    for (pair, name) in pairs.iter().zip(names) {
        let source = Source {
            name: name.clone(),
            trusted: trusted.clone(),
            responder: ssl.stapling_responder.clone(),
            verify: ssl.stapling_verify.unwrap_or(false),
            resolving: part.whose.resolving.clone(),
            log: part.whose.log.clone(),
        };
        all.push(match Stapling::new(pair, source) {
            Ok(stapling) => Some(stapling),
            Err(warning) => {
                part.http.global.get::<Warnings>().list.push(error(warning));
                None
            }
        });
    }
    Ok(all)
}

/// What is asked about clients, if anything.
fn inquiry<S: Secured>(part: &TlsBuilder<'_, S>) -> Result<Option<Rc<OcspCheck>>, Error> {
    let ssl = part.ssl;
    let extent = ssl.ocsp.unwrap_or_default();
    if extent == OcspMode::Off {
        return Ok(None);
    }
    if ssl.verify == Some(ClientVerify::OptionalNoCa) {
        return Err(error("\"ssl_ocsp\" is incompatible with \"ssl_verify_client optional_no_ca\""));
    }
    let resolving = part.whose.resolving.clone();
    let responder = match &ssl.ocsp_responder {
        Some(url) => Some(Responder::parse(url).and_then(|mut responder| {
            if resolving.usable().is_none() {
                responder.look_up()?;
            }
            Ok(responder)
        }))
        .transpose()
        .map_err(|words| error(format!("{words} in OCSP responder \"{url}\" in \"ssl_ocsp_responder\"")))?,
        None => None,
    };
    let cache = ssl.ocsp_cache.as_ref().and_then(Switch::as_on).map(|zone| Dict::new(zone));
    let log = part.whose.log.clone();
    Ok(Some(Rc::new(OcspCheck { extent, responder, trusted: authorities(part)?.1, resolving, log, cache })))
}

/// The authorities that are sent to clients, and all trusted ones.
fn authorities<S: Secured>(part: &TlsBuilder<'_, S>) -> Result<(Vec<CertificateDer<'static>>, Vec<CertificateDer<'static>>), Error> {
    let shown = part.trusted(part.ssl.client_certificate.as_ref())?;
    let mut trusted = shown.clone();
    trusted.extend(part.trusted(part.ssl.trusted_certificate.as_ref())?);
    Ok((shown, trusted))
}

/// `ssl_stapling_file`, where stapling is on.
fn staple(ssl: &Ssl, files: &Files) -> Result<Option<Vec<u8>>, Error> {
    match &ssl.stapling_file {
        Some(path) if ssl.stapling.unwrap_or(false) => {
            let failed = |e: std::io::Error| error(format!("BIO_new_file(\"{path}\") failed {}", base::errno::describe(&e)));
            let response = files.read(path).map_err(failed)?.to_vec();
            if !tls::ocsp::is_response(&response) {
                let what = "error:0688010A:asn1 encoding routines::nested asn1 error";
                return Err(error(format!("d2i_OCSP_RESPONSE_bio(\"{path}\") failed (SSL: {what})")));
            }
            Ok(Some(response))
        }
        _ => Ok(None),
    }
}

fn settings<S: Secured>(part: &TlsBuilder<'_, S>, fixed: Vec<Pair>) -> Result<Settings, Error> {
    let TlsBuilder { ssl, commands, http, .. } = *part;
    let offer = offer(part)?;
    let mut options = Options::new(offer, fixed);
    // The cheaper suite stands first in the usual list; who says `off` leaves the choice to clients.
    options.server_order = commands.server_order.or(ssl.server_order).unwrap_or(true);
    options.record = usize::try_from(ssl.buffer.unwrap_or(16 * 1024)).unwrap_or(usize::MAX);
    options.clients = clients(part)?;
    options.compresses = ssl.compression.unwrap_or(false);
    let context = context(part);
    let lifetime = ssl.timeout.unwrap_or(TIMEOUT);
    let early = ssl.early_data.unwrap_or(false);
    options.store = store(ssl, &context, lifetime, early, &http.global.get::<Shared>());
    if commands.tickets.or(ssl.tickets).unwrap_or(true) && !early {
        let keys = match &ssl.ticket_keys {
            Some(files) => Some(TicketKeys::new(ticket_keys(files)?)),
            None => http.global.get::<OwnTicketKeys>().get(),
        };
        options.tickets = keys.map(|keys| Tickets::new(keys, context, u32::try_from(lifetime).unwrap_or(u32::MAX)) as _);
    }
    options.sessions = Some((context, lifetime));
    options.early_data = if early { EARLY_DATA } else { 0 };
    if let Some(path) = &ssl.key_log {
        let failed = |e: std::io::Error| error(format!("open() \"{path}\" failed {}", base::errno::describe(&e)));
        options.key_log = Some(KeyLogFile::open(Path::new(path.as_ref())).map_err(failed)?);
    }
    Settings::new(options).map_err(|problem| error(format!("SSL_CTX_new() failed (SSL: {problem})")))
}

/// To whom a session is worth something: servers with the same certificates. What a client has proved with a certificate it has
/// proved to one server only.
fn context<S: Secured>(part: &TlsBuilder<'_, S>) -> Context {
    let ssl = part.ssl;
    let pairs = part.whose.names.pairs(part.commands);
    let mut parts: Vec<&[u8]> = pairs.iter().map(|pair| pair.certificate.source()).collect();
    if !part.whose.label.is_empty() {
        parts.push(part.whose.label.as_bytes());
    }
    let place = part.whose.index.to_be_bytes();
    if ssl.verify.unwrap_or_default() != ClientVerify::Off {
        parts.extend([&place[..], ssl.client_certificate.as_deref().unwrap_or_default().as_bytes()]);
    }
    Context::new(parts)
}

fn store(ssl: &Ssl, context: &Context, lifetime: u64, early: bool, shared: &Shared) -> Option<Arc<dyn StoresServerSessions>> {
    let builtin = |limit| Some(Arc::new(Builtin::new(limit, lifetime)) as Arc<dyn Bytes>);
    let bytes = match &ssl.cache {
        Some(SessionCache::Shared(name)) => shared.sessions(name, lifetime).map(|zone| Arc::new(zone) as Arc<dyn Bytes>),
        Some(SessionCache::Builtin(limit)) => builtin(*limit),
        // Early data works only with sessions that are kept here.
        None | Some(SessionCache::None) if early => builtin(super::cache::BUILTIN),
        None | Some(SessionCache::None) => None,
    };
    bytes.map(|bytes| Sessions::new(bytes, *context) as _)
}

fn ticket_keys(files: &[Rc<str>]) -> Result<Vec<TicketKey>, Error> {
    let mut keys = Vec::new();
    for path in files {
        let failed = |e: std::io::Error| error(format!("open() \"{path}\" failed {}", base::errno::describe(&e)));
        let bytes = std::fs::read(path.as_ref()).map_err(failed)?;
        let key = TicketKey::from_bytes(&bytes).ok_or_else(|| error(format!("\"{path}\" must be 48 or 80 bytes")))?;
        keys.push(key);
    }
    Ok(keys)
}

/// Suites, groups and versions; what OpenSSL has and we have not is a warning.
fn offer<S: Secured>(part: &TlsBuilder<'_, S>) -> Result<Offer, Error> {
    let TlsBuilder { ssl, commands, http, .. } = *part;
    let named = commands.protocols(ssl.protocols.as_deref().map(Vec::as_slice));
    let ciphers = commands.ciphers.as_deref().or(ssl.ciphers.as_deref()).unwrap_or(CIPHERS);
    let curves = commands.curves.as_deref().or(ssl.curves.as_deref());
    let wishes = CipherConf { ciphers: Some(ciphers), ciphersuites: commands.ciphersuites.as_deref(), curves, protocols: named.as_deref() };
    let failed = |problem: tls::ciphers::OfferError| {
        let call = match problem {
            tls::ciphers::OfferError::NoCipher => format!("SSL_CTX_set_cipher_list(\"{ciphers}\")"),
            tls::ciphers::OfferError::NoCurve => format!("SSL_CTX_set1_curves_list(\"{}\")", curves.unwrap_or_default()),
            tls::ciphers::OfferError::NoCiphersuite => "SSL_CONF_cmd(\"Ciphersuites\")".to_owned(),
            tls::ciphers::OfferError::NoProtocol => "SSL_CTX_new()".to_owned(),
        };
        error(format!("{call} failed (SSL: {problem})"))
    };
    let offer = Offer::new(&wishes).map_err(failed)?;
    for note in offer.notes.iter().chain(&commands.notes) {
        if !http.global.get::<Common>().warned.contains(note) {
            http.global.get::<Common>().warned.push(note.clone());
            http.global.get::<Warnings>().list.push(error(note.clone()));
        }
    }
    Ok(offer)
}

/// The client verifier; `None` if no certificate is requested, but the files must be good then too.
fn clients<S: Secured>(part: &TlsBuilder<'_, S>) -> Result<Option<Arc<ClientVerifier>>, Error> {
    let ssl = part.ssl;
    let verify = ssl.verify.unwrap_or_default();
    let revoked = ssl.crl.as_ref().map(|path| Crl::load(part.files, path).map_err(|problem| error(problem.to_string()))).transpose()?;
    if verify == ClientVerify::Off {
        return part.trusted(ssl.trusted_certificate.as_ref()).map(|_| None);
    }
    if verify != ClientVerify::OptionalNoCa && ssl.client_certificate.is_none() && ssl.trusted_certificate.is_none() {
        return Err(error("no ssl_client_certificate or ssl_trusted_certificate for ssl_verify_client"));
    }
    let (mut shown, trusted) = authorities(part)?;
    let mut seen = HashSet::new();
    shown.retain(|certificate| seen.insert(certificate.clone()));
    let mut trust = Trust::new(trusted, usize::try_from(ssl.depth.unwrap_or(1)).unwrap_or(usize::MAX));
    if let Some(lists) = revoked {
        trust = trust.with_crls(lists);
    }
    Ok(Some(Arc::new(ClientVerifier::new(Arc::new(trust), &shown))))
}
