//! The merged `*_ssl_*` settings of a location, shared by all locations with the same settings, and the target server name.

use crate::secure::conf::{Certificates, TlsConf};
use crate::secure::hooks::UpstreamTls;
use crate::secure::identity::Identity;
use crate::url::{Host, Url};
use base::log::{ErrorLog, Level};
use base::serial;
use conf::scope::Config;
use conf::switch::Switch;
use conf::tree::SettingError;
use session::paths::Paths;
use session::{Complex, Session};
use std::cell::{OnceCell, RefCell};
use std::collections::HashMap;
use std::net::Ipv4Addr;
use std::rc::Rc;
use std::sync::Arc;
use tls::certificate::{LoadError, Pair};
use tls::client::{Settings, Variants};
use tls::files::Files;
use tls::profile::{Profile, Trusted};
use tls::resume::{Slot, Slots};

/// With how many servers sessions are kept to be resumed, per plan and worker.
const SERVERS: usize = 1_000;

/// How many client certificates of variable name have their settings kept; sessions cannot be resumed without.
const VARIANTS: usize = 64;

/// The plans of a configuration, by what they are made from.
pub struct Plans<S> {
    /// Where names of files lead.
    pub paths: Rc<Paths>,
    /// What has been read.
    pub files: Rc<Files>,
    all: RefCell<HashMap<Key, Rc<Plan<S>>>>,
}

/// What a plan is made from: the profile, whether sessions are resumed, and which code runs in handshakes.
type Key = (Profile, bool, [usize; 3]);

impl<S> Default for Plans<S> {
    fn default() -> Self {
        Plans { paths: Rc::default(), files: Rc::default(), all: RefCell::default() }
    }
}

impl<S: 'static> Config for Plans<S> {
    fn inherit(&mut self, _: &Self) {}
}

/// Settings of sessions, and the sessions that they can resume.
pub struct Plan<S> {
    /// What its connections are told by in pools.
    number: u64,
    settings: Settings,
    slots: Option<RefCell<Slots>>,
    /// The same with other certificates.
    variants: RefCell<Variants>,
    /// The code of its handshakes.
    hooks: Rc<UpstreamTls<S>>,
}

impl<S> Plan<S> {
    /// The code of its handshakes.
    #[must_use]
    pub fn hooks(&self) -> &Rc<UpstreamTls<S>> {
        &self.hooks
    }

    /// What a session with this server of a group is resumed by.
    pub fn slot(&self, server: &[&str], target: &TlsTarget) -> Option<Arc<Slot>> {
        let slots = self.slots.as_ref()?;
        let identity = [server.join("\0").as_bytes(), b"\0", &target.identity].concat();
        Some(slots.borrow_mut().slot(&identity))
    }
}

/// A location's way to speak TLS with its upstream.
pub struct Secured<S> {
    plan: Rc<Plan<S>>,
    passwords: Rc<Vec<Vec<u8>>>,
    name: Option<Complex<S>>,
    server_name: bool,
    /// `*_ssl_verify`
    pub verify: bool,
    /// Without a good certificate there is no session.
    pub demands_peer: bool,
    /// Certificate and key where one of them has variables.
    certificate: Option<(Complex<S>, Complex<S>)>,
    /// What is offered to speak, where it has variables.
    alpn: Option<Rc<Vec<Complex<S>>>>,
    cache: Option<Certificates>,
    paths: Rc<Paths>,
    /// The target of the location's URL, where nothing has variables.
    fixed: OnceCell<Rc<TlsTarget>>,
}

/// Whom a request or session has in mind.
#[derive(Debug, PartialEq, Eq)]
pub struct TlsTarget {
    /// What the certificate has to be for.
    pub name: String,
    /// The name is sent, too.
    pub sent: bool,
    /// Certificate and key by their names.
    pub certificate: Option<(String, String)>,
    /// What is offered to speak, if it is not what the plan says.
    pub alpn: Option<Vec<Vec<u8>>>,
    /// What makes connections with it different from others of the same plan.
    pub identity: Rc<[u8]>,
}

/// A name as one of a file below the configuration's directory, unless it is no file.
#[must_use]
pub fn file(paths: &Paths, name: &str) -> String {
    if ["data:", "engine:", "store:"].iter().any(|kind| name.starts_with(kind)) {
        return name.to_owned();
    }
    paths.resolve_conf(name.as_bytes()).display().to_string()
}

impl<S: Session> Secured<S> {
    /// Makes a location's plan, or finds one that says the same. `prefix` is what its directives begin with.
    ///
    /// # Errors
    /// nginx's texts for what is missing or cannot be loaded.
    fn new(
        conf: &TlsConf<S>,
        prefix: &str,
        alpn: &[&'static [u8]],
        plans: &Plans<S>,
        hooks: Rc<UpstreamTls<S>>,
        log: &ErrorLog,
    ) -> Result<Secured<S>, SettingError> {
        let pair = pair(conf, prefix)?;
        let fixed = pair.as_ref().and_then(|(certificate, key)| Some((certificate.literal()?, key.literal()?)));
        let paths = &plans.paths;
        let names = |text: &[u8]| file(paths, &String::from_utf8_lossy(text));
        let verify = conf.verify.unwrap_or(false);
        if verify && conf.trusted_certificate.as_ref().is_none_or(|name| name.is_empty()) {
            return Err(format!("no {prefix}_ssl_trusted_certificate for {prefix}_ssl_verify").into());
        }
        let trusted = Trusted {
            certificates: conf.trusted_certificate.as_deref().map(str::to_owned),
            depth: conf.verify_depth.map_or(1, |depth| usize::try_from(depth).unwrap_or(usize::MAX)),
            crl: conf.crl.as_deref().map(str::to_owned),
        };
        let passwords = conf.passwords.clone().unwrap_or_default();
        let profile = Profile {
            protocols: conf.protocols.as_deref().cloned(),
            ciphers: conf.ciphers.as_deref().map(str::to_owned),
            certificate: fixed.map(|(certificate, key)| (names(certificate), names(key))),
            passwords: if fixed.is_some() { passwords.to_vec() } else { Vec::new() },
            trusted: (verify || conf.demands_peer || hooks.verify.is_some()).then_some(trusted),
            commands: conf.commands.as_deref().cloned().unwrap_or_default(),
            key_log: conf.key_log.as_deref().cloned(),
            alpn: literals(conf.alpn.as_deref()).unwrap_or_else(|| alpn.iter().map(|name| name.to_vec()).collect()),
        };
        let varies = fixed.is_none();
        Ok(Secured {
            plan: plans.get(profile, conf.session_reuse.unwrap_or(true), hooks, prefix, log)?,
            passwords,
            name: conf.name.clone(),
            server_name: conf.server_name.unwrap_or(false),
            verify,
            demands_peer: conf.demands_peer,
            certificate: pair.filter(|_| varies),
            alpn: conf.alpn.clone().filter(|names| literals(Some(names)).is_none()),
            cache: conf.certificate_cache.clone().and_then(Switch::on),
            paths: paths.clone(),
            fixed: OnceCell::new(),
        })
    }

    /// Whom a request or session to `url` has in mind; `evaluated`: the URL is its own. `host` takes the place of the URL's.
    pub fn target(&self, session: &S, url: &Url, evaluated: bool, host: Option<&[u8]>) -> Rc<TlsTarget> {
        let varies = self.certificate.is_some() || self.alpn.is_some();
        let constant = host.is_none() && !evaluated && !varies && self.name.as_ref().is_none_or(|name| name.literal().is_some());
        match constant {
            true => self.fixed.get_or_init(|| Rc::new(self.make(session, url, None))).clone(),
            false => Rc::new(self.make(session, url, host)),
        }
    }

    fn make(&self, session: &S, url: &Url, host: Option<&[u8]>) -> TlsTarget {
        let text = |value: &Complex<S>| String::from_utf8_lossy(&value.to_vec(session)).into_owned();
        let name = match &self.name {
            Some(name) => text(name),
            None => match (host, &url.host) {
                (Some(host), _) => String::from_utf8_lossy(host).into_owned(),
                (None, Host::Unix(path)) => path.display().to_string(),
                (None, Host::Name(_) | Host::Ip(_)) => String::from_utf8_lossy(&url.host_header).into_owned(),
            },
        };
        let name = without_port(&name).to_owned();
        // Addresses are no names for SNI (RFC 6066 section 3).
        let sent = self.server_name && !name.is_empty() && !name.starts_with('[') && name.parse::<Ipv4Addr>().is_err();
        let pair = self.certificate.as_ref().map(|(certificate, key)| (text(certificate), text(key)));
        let certificate = pair.filter(|(name, _)| !name.is_empty()).map(|(name, key)| (file(&self.paths, &name), file(&self.paths, &key)));
        let mut identity = vec![u8::from(sent)];
        let verified_name = if sent || self.verify { name.as_str() } else { "" };
        let pair = certificate.iter().flat_map(|(name, key)| [name.as_bytes(), key.as_bytes()]);
        let alpn = self.alpn.as_ref().map(|names| offerable(names.iter().map(|name| name.to_vec(session))));
        let mut add = |part: &[u8]| {
            // With its length, so that no name can pass for a name and a certificate.
            identity.extend_from_slice(&part.len().to_ne_bytes());
            identity.extend_from_slice(part);
        };
        std::iter::once(verified_name.as_bytes()).chain(pair).for_each(&mut add);
        alpn.iter().flatten().for_each(|name| add(name));
        TlsTarget { name, sent, certificate, alpn, identity: identity.into() }
    }

    /// What a pool tells connections to `target` by.
    #[must_use]
    pub fn identity(&self, target: &TlsTarget) -> Identity {
        Identity::new(self.plan.number, &target.identity)
    }

    /// The settings for `target`.
    ///
    /// # Errors
    /// nginx's text for a certificate that cannot be loaded.
    pub fn settings(&self, target: &TlsTarget) -> Result<Settings, LoadError> {
        let settings = match &target.certificate {
            None => self.plan.settings.clone(),
            Some((certificate, key)) => {
                let pair = match &self.cache {
                    Some(cache) => cache.borrow_mut().pair(certificate, key, &self.passwords, base::clock::monotonic_ms())?,
                    None => Pair::load(&Files::new(), certificate, key, &self.passwords)?,
                };
                self.plan.variants.borrow_mut().get(&self.plan.settings, pair)
            }
        };
        Ok(match &target.alpn {
            None => settings,
            Some(names) => settings.with_alpn(names.clone()),
        })
    }

    /// The plan.
    #[must_use]
    pub fn plan(&self) -> &Plan<S> {
        &self.plan
    }
}

impl<S: Session> Plans<S> {
    /// The TLS of a pass to this URL, or to one with variables, unless it has none. `prefix` is what the directives begin with,
    /// `alpn` what is offered to speak if they do not say it.
    ///
    /// # Errors
    /// nginx's texts for what is missing or cannot be loaded.
    pub fn secured(
        &self,
        url: Option<&Url>,
        conf: &TlsConf<S>,
        prefix: &str,
        alpn: &[&'static [u8]],
        hooks: Rc<UpstreamTls<S>>,
        log: &ErrorLog,
    ) -> Result<Option<Secured<S>>, SettingError> {
        if url.is_some_and(|url| !url.secure) {
            return Ok(None);
        }
        hooks.is_used.set(true);
        Secured::new(conf, prefix, alpn, self, hooks, log).map(Some)
    }

    fn get(
        &self,
        profile: Profile,
        reuse: bool,
        hooks: Rc<UpstreamTls<S>>,
        prefix: &str,
        log: &ErrorLog,
    ) -> Result<Rc<Plan<S>>, SettingError> {
        let mut all = self.all.borrow_mut();
        let key = (profile, reuse, hooks.identity());
        if let Some(plan) = all.get(&key) {
            return Ok(plan.clone());
        }
        let (settings, notes) = key.0.settings(&self.files).map_err(|error| error.to_string())?;
        for note in notes {
            log.write(Level::Warn, 0, format!("{prefix}_ssl_*: {note}").as_bytes());
        }
        let slots = reuse.then(|| RefCell::new(Slots::new(SERVERS)));
        let plan = Rc::new(Plan { number: serial::next(), settings, slots, variants: RefCell::new(Variants::new(VARIANTS)), hooks });
        all.insert(key, plan.clone());
        Ok(plan)
    }
}

/// Names that can be offered: the others are left out, as in nginx.
fn offerable(names: impl Iterator<Item = Vec<u8>>) -> Vec<Vec<u8>> {
    names.filter(|name| (1..=255).contains(&name.len())).collect()
}

/// What `*_ssl_alpn` says, if it has no variables.
fn literals<S: Session>(names: Option<&Vec<Complex<S>>>) -> Option<Vec<Vec<u8>>> {
    let names: Option<Vec<Vec<u8>>> = names?.iter().map(|name| name.literal().map(<[u8]>::to_vec)).collect();
    names.map(|names| offerable(names.into_iter()))
}

/// The certificate with its key, if there is one.
fn pair<S: Session>(conf: &TlsConf<S>, prefix: &str) -> Result<Option<(Complex<S>, Complex<S>)>, SettingError> {
    let Some(certificate) = conf.certificate.clone().filter(|value| value.literal() != Some(b"")) else { return Ok(None) };
    match conf.certificate_key.clone() {
        Some(key) => Ok(Some((certificate, key))),
        None => {
            let shown = certificate.literal().map(String::from_utf8_lossy).unwrap_or_default().into_owned();
            Err(format!("no \"{prefix}_ssl_certificate_key\" is defined for certificate \"{shown}\"").into())
        }
    }
}

/// A host without the port that may follow it.
fn without_port(name: &str) -> &str {
    let skip = if name.starts_with('[') { name.find(']').unwrap_or(0) } else { 0 };
    match name.get(skip..).and_then(|rest| rest.find(':')) {
        Some(colon) => name.get(..skip + colon).unwrap_or(name),
        None => name,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_are_no_part_of_names() {
        for (name, bare) in [("a:1", "a"), ("a", "a"), ("[::1]:2", "[::1]"), ("[::1]", "[::1]"), ("", ""), ("[::1", "[")] {
            assert_eq!(without_port(name), bare, "{name}");
        }
    }

    #[test]
    fn a_file_is_below_the_configuration() {
        let paths = Paths { prefix: "/p/".into(), conf_prefix: "/c/".into() };
        for (name, expected) in [("a.pem", "/c/a.pem"), ("/a.pem", "/a.pem"), ("data:x", "data:x"), ("engine:x:y", "engine:x:y")] {
            assert_eq!(file(&paths, name), expected);
        }
    }
}
