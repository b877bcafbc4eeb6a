//! From what a server has inherited to who answers its handshakes.

use super::cache::{Builtin, Shared};
use super::handshakes::{CacheLimits, Certificates, Shakes};
use super::{Named, SessionCache, Ssl};
use conf::row::Warnings;
use conf::scope::Frame;
use conf::tree::{Error, Span};
use http::Server;
use http::tls::ClientVerify;
use std::cell::RefCell;
use std::collections::HashMap;
use std::path::Path;
use std::rc::Rc;
use std::sync::Arc;
use tls::certificate::Pair;
use tls::ciphers::{Offer, PROTOCOLS, Wishes};
use tls::key_log::KeyLogFile;
use tls::server::{Options, Settings, StoresServerSessions};
use tls::store::{Bytes, Sessions};
use tls::tickets::{Context, Secret, TicketKey, TicketKeys, Tickets};
use tls::verify::crl::Crl;
use tls::verify::{Clients, Trust};

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
pub struct OwnTicketKeys(Option<Secret>);

impl OwnTicketKeys {
    fn get(&mut self) -> Option<Arc<TicketKeys>> {
        if self.0.is_none() {
            self.0 = Secret::random();
        }
        self.0.clone().map(TicketKeys::rotating)
    }
}

fn error(text: impl Into<String>) -> Error {
    Error::new(text.into(), Span::NONE)
}

/// Completes a server (`ngx_http_ssl_merge_srv_conf`).
pub(super) fn server(server: &Server, place: usize, http: &Frame) -> Result<(), Error> {
    let Some(ssl) = server.conf.share::<Ssl>() else { return Ok(()) };
    // Who has no certificate of its own may still object to clients of its neighbours' handshakes.
    server.tls.verify.set(ssl.verify.unwrap_or_default());
    let reject = ssl.reject.unwrap_or(false);
    let pairs = ssl.pairs();
    if let Some(lone) = pairs.iter().rfind(|pair| pair.key.is_none()) {
        let name = String::from_utf8_lossy(lone.certificate.source()).into_owned();
        return Err(error(format!("no \"ssl_certificate_key\" is defined for certificate \"{name}\"")));
    }
    if pairs.is_empty() && !reject {
        return Ok(());
    }
    let passwords = ssl.passwords.clone().unwrap_or_default();
    let certificates = if pairs.iter().all(is_literal) {
        Certificates::Fixed(load(&ssl, &pairs, &passwords, &mut http.global.get::<Common>())?)
    } else {
        let limits = ssl.certificate_cache.flatten().unwrap_or(CacheLimits::NONE);
        Certificates::Named { pairs, passwords, limits, kept: RefCell::default() }
    };
    let settings = settings(&ssl, &certificates, place, http)?;
    // Built once for each server.
    let _ = server.tls.handshakes.set(Rc::new(Shakes::new(settings, certificates, reject)));
    Ok(())
}

fn is_literal(pair: &Named) -> bool {
    pair.certificate.literal().is_some() && pair.key.as_ref().is_none_or(|key| key.literal().is_some())
}

fn load(ssl: &Ssl, pairs: &[Named], passwords: &[Vec<u8>], common: &mut Common) -> Result<Vec<Pair>, Error> {
    let text = |value: Option<&[u8]>| String::from_utf8_lossy(value.unwrap_or_default()).into_owned();
    let mut loaded = Vec::new();
    for pair in pairs {
        let names = (text(pair.certificate.literal()), text(pair.key.as_ref().and_then(|key| key.literal())));
        let found = match common.pairs.get(&names) {
            Some(found) => found.clone(),
            None => {
                let made = Pair::load(&names.0, &names.1, passwords).map_err(|problem| error(problem.to_string()))?;
                common.pairs.insert(names, made.clone());
                made
            }
        };
        loaded.push(found.with_ocsp(staple(ssl)?));
    }
    Ok(loaded)
}

/// `ssl_stapling_file`, where stapling is on.
fn staple(ssl: &Ssl) -> Result<Option<Vec<u8>>, Error> {
    match &ssl.stapling_file {
        Some(path) if ssl.stapling.unwrap_or(false) => {
            let failed = |e: std::io::Error| error(format!("BIO_new_file(\"{path}\") failed {}", base::errno::describe(&e)));
            std::fs::read(path.as_ref()).map(Some).map_err(failed)
        }
        _ => Ok(None),
    }
}

fn settings(ssl: &Ssl, certificates: &Certificates, place: usize, http: &Frame) -> Result<Settings, Error> {
    let offer = offer(ssl, http)?;
    let mut options = Options::new(offer, certificates.fixed());
    // The cheaper suite stands first in the usual list; who says `off` leaves the choice to clients.
    options.server_order = ssl.option("ServerPreference").or(ssl.server_order).unwrap_or(true);
    options.record = usize::try_from(ssl.buffer.unwrap_or(16 * 1024)).unwrap_or(usize::MAX);
    options.clients = clients(ssl)?;
    let context = context(ssl, place);
    let lifetime = ssl.timeout.unwrap_or(TIMEOUT);
    let early = ssl.early_data.unwrap_or(false);
    options.store = store(ssl, &context, lifetime, early, &http.global.get::<Shared>());
    if ssl.option("SessionTicket").or(ssl.tickets).unwrap_or(true) && !early {
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
fn context(ssl: &Ssl, place: usize) -> Context {
    let pairs = ssl.pairs();
    let mut parts: Vec<&[u8]> = pairs.iter().map(|pair| pair.certificate.source()).collect();
    let place = place.to_be_bytes();
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

/// `ssl_protocols`, within what commands say of the first and the last one.
fn protocols(ssl: &Ssl) -> Option<Vec<&str>> {
    let named = ssl.protocols.as_deref().map(|all| all.iter().map(String::as_str).collect::<Vec<_>>());
    let place = |name: &str| PROTOCOLS.iter().position(|known| known.eq_ignore_ascii_case(name));
    let (least, most) = (ssl.command(&["MinProtocol"]).and_then(place), ssl.command(&["MaxProtocol"]).and_then(place));
    if least.is_none() && most.is_none() {
        return named;
    }
    let within = |name: &&str| place(name).is_some_and(|at| least.is_none_or(|least| at >= least) && most.is_none_or(|most| at <= most));
    Some(named.unwrap_or_else(|| vec!["TLSv1.2", "TLSv1.3"]).into_iter().filter(within).collect())
}

/// Suites, groups and versions; what OpenSSL has and we have not is a warning.
fn offer(ssl: &Ssl, http: &Frame) -> Result<Offer, Error> {
    let command = |names: &[&str]| ssl.command(names);
    let named = protocols(ssl);
    let ciphers = command(&["CipherString"]).or(ssl.ciphers.as_deref()).unwrap_or(CIPHERS);
    let curves = command(&["Curves", "Groups"]).or(ssl.curves.as_deref());
    let wishes = Wishes { ciphers: Some(ciphers), ciphersuites: command(&["Ciphersuites"]), curves, protocols: named.as_deref() };
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
    for note in &offer.notes {
        if !http.global.get::<Common>().warned.contains(note) {
            http.global.get::<Common>().warned.push(note.clone());
            http.global.get::<Warnings>().list.push(error(note.clone()));
        }
    }
    Ok(offer)
}

/// Who may be a client; `None`: nobody is asked for a certificate.
fn clients(ssl: &Ssl) -> Result<Option<Arc<Clients>>, Error> {
    let verify = ssl.verify.unwrap_or_default();
    if verify == ClientVerify::Off {
        return Ok(None);
    }
    if verify != ClientVerify::OptionalNoCa && ssl.client_certificate.is_none() && ssl.trusted_certificate.is_none() {
        return Err(error("no ssl_client_certificate or ssl_trusted_certificate for ssl_verify_client"));
    }
    let read = |path: &Option<Rc<str>>| match path {
        Some(path) => tls::certificate::load_trusted(path).map_err(|problem| error(problem.to_string())),
        None => Ok(Vec::new()),
    };
    let mut shown: Vec<_> = Vec::new();
    for certificate in read(&ssl.client_certificate)? {
        if !shown.contains(&certificate) {
            shown.push(certificate);
        }
    }
    let mut trusted = shown.clone();
    trusted.extend(read(&ssl.trusted_certificate)?);
    let mut trust = Trust::new(trusted, usize::try_from(ssl.depth.unwrap_or(1)).unwrap_or(usize::MAX));
    if let Some(path) = &ssl.crl {
        trust = trust.with_crls(Crl::load(path).map_err(|problem| error(problem.to_string()))?);
    }
    Ok(Some(Arc::new(Clients::new(Arc::new(trust), &shown))))
}
