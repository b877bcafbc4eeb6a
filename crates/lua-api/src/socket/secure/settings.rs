//! The directives `lua_ssl_*`.

use base::log::Level;
use conf::context::{Arity, Context};
use conf::row::{self, Cx, Row};
use conf::scope::{Config, Frame};
use conf::tree::Error;
use http::module::Attach;
use http::root::MainContext;
use http::tls::directives;
use http::{Levels, Module};
use std::cell::{OnceCell, RefCell};
use std::collections::HashMap;
use std::path::PathBuf;
use std::rc::Rc;
use std::sync::Arc;
use tls::certificate::{LoadError, Pair};
use tls::client::{Settings, Variants};
use tls::files::Files;
use tls::profile::{Profile, Trusted};
use tls::verify::Servers;

/// How many client certificates have their settings kept; sessions cannot be resumed without.
const VARIANTS: usize = 64;

/// What a block says of `lua_ssl_*`. Names of files are absolute.
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
    ready: OnceCell<Rc<Ready>>,
}

impl Config for SecureOptions {
    fn inherit(&mut self, parent: &Self) {
        conf::inherit!(self, parent; protocols, ciphers, verify_depth, trusted_certificate, crl, certificate, certificate_key, commands, key_log);
    }
}

/// What sessions of sockets are made from.
pub struct Ready {
    settings: Settings,
    variants: RefCell<Variants>,
}

impl Ready {
    /// Who judges servers.
    pub fn servers(&self) -> Option<&Arc<Servers>> {
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

/// Those of a configuration, by what they are made from.
#[derive(Default)]
struct Shared {
    all: RefCell<HashMap<Profile, Rc<Ready>>>,
    /// What has been read.
    files: Rc<Files>,
}

impl Config for Shared {
    fn inherit(&mut self, _: &Self) {}
}

impl SecureOptions {
    /// What sessions are made from here.
    ///
    /// # Errors
    /// nginx's text, where no location has been built.
    pub fn ready(&self) -> Result<Rc<Ready>, LoadError> {
        if let Some(ready) = self.ready.get() {
            return Ok(ready.clone());
        }
        let (ready, _) = make(&self.profile(), &Files::new())?;
        Ok(self.ready.get_or_init(|| ready).clone())
    }

    /// `lua_ssl_verify_depth`
    pub fn depth(&self) -> usize {
        self.verify_depth.map_or(1, |depth| usize::try_from(depth).unwrap_or(usize::MAX))
    }

    fn profile(&self) -> Profile {
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

fn make(profile: &Profile, files: &Files) -> Result<(Rc<Ready>, Vec<String>), LoadError> {
    let (settings, notes) = profile.settings(files)?;
    Ok((Rc::new(Ready { settings, variants: RefCell::new(Variants::new(VARIANTS)) }), notes))
}

/// The directives.
pub const MODULE: Module = Module { rows, levels, complete, attach, ..Module::named("lua_ssl") };

fn levels(levels: &mut Levels) {
    levels.main::<Shared>();
    levels.location::<SecureOptions>();
}

fn complete(frame: &Frame) -> Result<(), Error> {
    frame.main.get::<Shared>().files = frame.global.get::<Rc<Files>>().clone();
    Ok(())
}

/// Finds what is wrong with a location's settings before anybody shakes hands.
fn attach(at: &mut Attach<'_>) -> Result<(), Error> {
    let options = at.conf::<SecureOptions>();
    let error = |text: String| Error::new(text, conf::tree::Span::default());
    if let (Some(certificate), None) = (&options.certificate, &options.certificate_key) {
        return Err(error(format!("no \"lua_ssl_certificate_key\" is defined for certificate \"{certificate}\"")));
    }
    let shared = at.main_conf::<Shared>();
    let profile = options.profile();
    let known = shared.all.borrow().get(&profile).cloned();
    let ready = match known {
        Some(ready) => ready,
        None => {
            let (ready, notes) = make(&profile, &shared.files).map_err(|failed| error(failed.to_string()))?;
            for note in notes {
                at.log.write(Level::Warn, 0, format!("lua_ssl_*: {note}").as_bytes());
            }
            shared.all.borrow_mut().insert(profile, ready.clone());
            ready
        }
    };
    // The values of a location are shared by those inside that say nothing more.
    let _ = options.ready.set(ready);
    Ok(())
}

fn rows() -> Vec<Row> {
    let (at, one) = (Context::HTTP_ALL, Arity::exactly(1));
    vec![
        row::number("lua_ssl_verify_depth", at, "How long a chain of certificates may be.", |o: &mut SecureOptions| &mut o.verify_depth),
        Row::new("lua_ssl_protocols", at, Arity::AtLeast(1), "Versions of TLS that sockets offer.", |cx| {
            directives::protocols(cx, Rc::make_mut(cx.location::<SecureOptions>().protocols.get_or_insert_default()))
        }),
        Row::new("lua_ssl_ciphers", at, one, "Ciphers that sockets offer.", |cx| {
            cx.once(&mut cx.location::<SecureOptions>().ciphers, cx.text(0).into_owned())
        }),
        file("lua_ssl_trusted_certificate", "Authorities that sockets trust.", |o| &mut o.trusted_certificate),
        file("lua_ssl_crl", "Lists of revoked certificates.", |o| &mut o.crl),
        file("lua_ssl_certificate", "Certificate that sockets show.", |o| &mut o.certificate),
        file("lua_ssl_certificate_key", "Key of that certificate.", |o| &mut o.certificate_key),
        Row::new("lua_ssl_conf_command", at, Arity::exactly(2), "A command of OpenSSL's configuration.", |cx| {
            let (command, value) = (cx.text(0).into_owned(), cx.text(1).into_owned());
            let value = if tls::commands::is_file(&command) { resolve(cx, &value) } else { value };
            Rc::make_mut(cx.location::<SecureOptions>().commands.get_or_insert_default()).push((command, value));
            Ok(())
        }),
        Row::new("lua_ssl_key_log", at, one, "File for the secrets of sessions.", |cx| {
            let path = cx.global::<MainContext>().paths.resolve_conf(cx.arg(0));
            cx.once(&mut cx.location::<SecureOptions>().key_log, path)
        }),
    ]
}

fn file(name: &'static str, doc: &'static str, field: fn(&mut SecureOptions) -> &mut Option<String>) -> Row {
    Row::new(name, Context::HTTP_ALL, Arity::exactly(1), doc, move |cx| {
        let path = resolve(cx, &cx.text(0));
        cx.once(field(&mut cx.location::<SecureOptions>()), path)
    })
}

fn resolve(cx: &Cx<'_>, name: &str) -> String {
    if name.starts_with("data:") {
        return name.to_owned();
    }
    cx.global::<MainContext>().paths.resolve_conf(name.as_bytes()).display().to_string()
}
