//! What the directives `lua_ssl_*` say, and what sessions are made from.

use conf::scope::Config;
use std::cell::{OnceCell, RefCell};
use std::path::PathBuf;
use std::rc::Rc;
use std::sync::Arc;
use tls::certificate::{LoadError, Pair};
use tls::client::{Settings, Variants};
use tls::files::Files;
use tls::profile::{Profile, Trusted};
use tls::verify::ServerVerifier;

/// How many client certificates have their settings kept; sessions cannot be resumed without.
const VARIANTS: usize = 64;

/// The `lua_ssl_*` directives of a block. File names are absolute.
#[derive(Default)]
pub struct SecureOptions {
    /// `lua_ssl_protocols`
    pub protocols: Option<Rc<Vec<&'static str>>>,
    /// `lua_ssl_ciphers`
    pub ciphers: Option<String>,
    /// `lua_ssl_verify_depth`, 1 by default.
    pub verify_depth: Option<u64>,
    /// `lua_ssl_trusted_certificate`
    pub trusted_certificate: Option<String>,
    /// `lua_ssl_crl`
    pub crl: Option<String>,
    /// `lua_ssl_certificate`
    pub certificate: Option<String>,
    /// `lua_ssl_certificate_key`
    pub certificate_key: Option<String>,
    /// `lua_ssl_conf_command`, in order
    pub commands: Option<Rc<Vec<(String, String)>>>,
    /// `lua_ssl_key_log`
    pub key_log: Option<PathBuf>,
    ready: OnceCell<Rc<SessionSettings>>,
}

impl Config for SecureOptions {
    fn inherit(&mut self, parent: &Self) {
        conf::inherit!(self, parent; protocols, ciphers, verify_depth, trusted_certificate, crl, certificate, certificate_key, commands, key_log);
    }
}

/// What sessions of sockets are made from.
pub struct SessionSettings {
    settings: Settings,
    variants: RefCell<Variants>,
}

impl SessionSettings {
    /// Reads what a profile names; notes for the log come beside it.
    ///
    /// # Errors
    /// nginx's text.
    pub fn make(profile: &Profile, files: &Files) -> Result<(Rc<SessionSettings>, Vec<String>), LoadError> {
        let (settings, notes) = profile.settings(files)?;
        Ok((Rc::new(SessionSettings { settings, variants: RefCell::new(Variants::new(VARIANTS)) }), notes))
    }

    /// The verifier of servers.
    pub fn servers(&self) -> Option<&Arc<ServerVerifier>> {
        self.settings.servers()
    }

    /// The settings, with a client certificate if one is given.
    pub fn settings(&self, pair: Option<Pair>) -> Settings {
        match pair {
            Some(pair) => self.variants.borrow_mut().get(&self.settings, pair),
            None => self.settings.clone(),
        }
    }
}

impl SecureOptions {
    /// What sessions are made from here.
    ///
    /// # Errors
    /// nginx's text, where no location has been built.
    pub fn ready(&self) -> Result<Rc<SessionSettings>, LoadError> {
        if let Some(ready) = self.ready.get() {
            return Ok(ready.clone());
        }
        let (ready, _) = SessionSettings::make(&self.profile(), &Files::new())?;
        Ok(self.ready.get_or_init(|| ready).clone())
    }

    /// Says what sessions are made from here; the first word counts.
    pub fn set(&self, ready: Rc<SessionSettings>) {
        // The values of a location are shared by those inside that say nothing more.
        let _ = self.ready.set(ready);
    }

    /// `lua_ssl_verify_depth`
    pub fn depth(&self) -> usize {
        self.verify_depth.map_or(1, |depth| usize::try_from(depth).unwrap_or(usize::MAX))
    }

    /// What all that is said comes to.
    pub fn profile(&self) -> Profile {
        Profile {
            protocols: self.protocols.as_deref().cloned(),
            ciphers: self.ciphers.clone(),
            certificate: self.certificate.clone().zip(self.certificate_key.clone()),
            passwords: Vec::new(),
            trusted: Some(Trusted { certificates: self.trusted_certificate.clone(), depth: self.depth(), crl: self.crl.clone() }),
            commands: self.commands.as_deref().cloned().unwrap_or_default(),
            key_log: self.key_log.clone(),
            alpn: Vec::new(),
        }
    }
}
