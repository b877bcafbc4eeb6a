//! The directives `lua_ssl_*`.

use base::log::Level;
use conf::context::{Arity, Context};
use conf::row::{self, Cx, Row};
use conf::scope::{Config, Frame};
use conf::tree::Error;
use lua_lib::socket::secure::settings::{SecureOptions, SessionSettings};
use session::paths::MainContext;
use session::tls_directives as directives;
use session::{Join, Levels, Session};
use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;
use tls::files::Files;
use tls::profile::Profile;

/// Those of a configuration, by what they are made from.
#[derive(Default)]
struct Shared {
    all: RefCell<HashMap<Profile, Rc<SessionSettings>>>,
    /// What has been read.
    files: Rc<Files>,
}

impl Config for Shared {
    fn inherit(&mut self, _: &Self) {}
}

/// The configuration types.
pub fn levels(levels: &mut Levels) {
    levels.main::<Shared>();
    levels.location::<SecureOptions>();
}

/// Keeps what the configuration's files are read with.
///
/// # Errors
/// None.
pub fn complete(frame: &Frame) -> Result<(), Error> {
    frame.main.get::<Shared>().files = frame.global.get::<Rc<Files>>().clone();
    Ok(())
}

/// Finds what is wrong with a place's settings before a handshake begins.
///
/// # Errors
/// That.
pub fn attach<S: Session>(at: &impl Join<S>) -> Result<(), Error> {
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
            let (ready, notes) = SessionSettings::make(&profile, &shared.files).map_err(|failed| error(failed.to_string()))?;
            for note in notes {
                at.error_log().write(Level::Warn, 0, format!("lua_ssl_*: {note}").as_bytes());
            }
            shared.all.borrow_mut().insert(profile, ready.clone());
            ready
        }
    };
    options.set(ready);
    Ok(())
}

/// The rows, in these blocks.
// tidy: table
#[must_use]
pub fn rows(at: Context) -> Vec<Row> {
    let one = Arity::exactly(1);
    let file = |name, doc, field| file(at, name, doc, field);
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

fn file(at: Context, name: &'static str, doc: &'static str, field: fn(&mut SecureOptions) -> &mut Option<String>) -> Row {
    Row::new(name, at, Arity::exactly(1), doc, move |cx| {
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
