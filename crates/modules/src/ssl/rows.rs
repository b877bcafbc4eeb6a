//! The directives.

use super::build::Inheritable;
use super::ocsp_check::{self, OcspMode};
use super::session::STREAM_SERVERS;
use super::{Names, SessionCache, Ssl, cache};
use base::text;
use conf::context::{Arity, Context};
use conf::row::{Cx, Row};
use conf::tree::Error;
use http::root::MainContext;
use http::tls::{ClientVerify, directives};
use session::{Complex, Session, Variables};
use std::rc::Rc;
use tls::commands::Commands;

pub(super) const SERVERS: Context = Context::HTTP.union(Context::SERVER);
/// Where most rows are the same for both.
const BOTH: Context = SERVERS.union(STREAM_SERVERS);

fn file(name: &'static str, doc: &'static str, field: fn(&mut Ssl) -> &mut Option<Rc<str>>) -> Row {
    Row::new(name, BOTH, Arity::exactly(1), doc, move |cx| {
        let path = path(cx, 0);
        cx.once(field(&mut cx.server::<Ssl>()), path)
    })
}

fn words(name: &'static str, doc: &'static str, field: fn(&mut Ssl) -> &mut Option<Rc<str>>) -> Row {
    Row::new(name, BOTH, Arity::exactly(1), doc, move |cx| {
        let value = Rc::from(cx.text(0).as_ref());
        cx.once(field(&mut cx.server::<Ssl>()), value)
    })
}

/// A flag that `http` alone has.
fn http_flag(name: &'static str, doc: &'static str, field: fn(&mut Ssl) -> &mut Option<bool>) -> Row {
    Row { contexts: SERVERS, ..flag(name, doc, field) }
}

fn flag(name: &'static str, doc: &'static str, field: fn(&mut Ssl) -> &mut Option<bool>) -> Row {
    Row::new(name, BOTH, Arity::exactly(1), doc, move |cx| {
        let value = cx.flag(0)?;
        cx.once(field(&mut cx.server::<Ssl>()), value)
    })
}

/// The rows whose values hold variables.
pub(super) fn certificates<S: Session>(here: Context) -> Vec<Row> {
    let one = Arity::exactly(1);
    vec![
        Row::new("ssl_certificate", here, one, "A certificate with its chain.", |cx| {
            let value = named::<S>(cx)?;
            Rc::make_mut(cx.server::<Names<S>>().certificates.get_or_insert_default()).push(value);
            Ok(())
        }),
        Row::new("ssl_certificate_key", here, one, "The key of a certificate.", |cx| {
            let value = named::<S>(cx)?;
            Rc::make_mut(cx.server::<Names<S>>().keys.get_or_insert_default()).push(value);
            Ok(())
        }),
    ]
}

/// All other rows of the module.
// tidy: table
pub(super) fn rows() -> Vec<Row> {
    let one = Arity::exactly(1);
    vec![
        Row::new("ssl_certificate_cache", BOTH, Arity::Between(1, 3), "Keeps certificates whose names hold variables.", |cx| {
            let value = directives::certificate_cache(cx)?;
            cx.once(&mut cx.server::<Ssl>().certificate_cache, value.into())
        }),
        Row::new("ssl_password_file", BOTH, one, "Passwords of keys, a line each.", |cx| {
            let value = Rc::new(directives::passwords(cx)?);
            cx.once(&mut cx.server::<Ssl>().passwords, value)
        }),
        Row::new("ssl_protocols", BOTH, Arity::AtLeast(1), "Versions of TLS.", |cx| {
            directives::protocols(cx, Rc::make_mut(cx.server::<Ssl>().protocols.get_or_insert_default()))
        }),
        words("ssl_ciphers", "Cipher suites, as OpenSSL names them.", |ssl| &mut ssl.ciphers),
        words("ssl_ecdh_curve", "Groups for the exchange of keys.", |ssl| &mut ssl.curves),
        flag("ssl_prefer_server_ciphers", "The server's order of suites counts.", |ssl| &mut ssl.server_order),
        Row::new("ssl_buffer_size", SERVERS, one, "Most content of a record.", |cx| {
            let value = cx.size(0)?;
            cx.once(&mut cx.server::<Ssl>().buffer, value)
        }),
        Row::new("ssl_verify_client", BOTH, one, "Whether clients need a certificate.", |cx| {
            let value = cx.choice(
                0,
                &[
                    ("off", ClientVerify::Off),
                    ("on", ClientVerify::On),
                    ("optional", ClientVerify::Optional),
                    ("optional_no_ca", ClientVerify::OptionalNoCa),
                ],
            )?;
            cx.once(&mut cx.server::<Ssl>().verify, value)
        }),
        Row::new("ssl_verify_depth", BOTH, one, "Longest chain of a client.", |cx| {
            let value = cx.number(0)?;
            cx.once(&mut cx.server::<Ssl>().depth, value)
        }),
        file("ssl_client_certificate", "Authorities of clients; clients see their names.", |ssl| &mut ssl.client_certificate),
        file("ssl_trusted_certificate", "Authorities of clients that they do not see.", |ssl| &mut ssl.trusted_certificate),
        file("ssl_crl", "Certificates of clients that were revoked.", |ssl| &mut ssl.crl),
        Row::new("ssl_session_cache", BOTH, Arity::Between(1, 2), "Where sessions are kept.", session_cache),
        flag("ssl_session_tickets", "Clients keep their sessions themselves.", |ssl| &mut ssl.tickets),
        Row::new("ssl_session_ticket_key", BOTH, one, "A key for session tickets.", |cx| {
            let value = path(cx, 0);
            Rc::make_mut(cx.server::<Ssl>().ticket_keys.get_or_insert_default()).push(value);
            Ok(())
        }),
        Row::new("ssl_session_timeout", BOTH, one, "How long a client may come back to a session.", |cx| {
            let value = cx.time_sec(0)?;
            cx.once(&mut cx.server::<Ssl>().timeout, value)
        }),
        file("ssl_dhparam", "Checked only: there is no DHE.", |ssl| &mut ssl.dhparam),
        flag("ssl_stapling", "Sends the response of an OCSP responder.", |ssl| &mut ssl.stapling),
        file("ssl_stapling_file", "An OCSP response.", |ssl| &mut ssl.stapling_file),
        Row::new("ssl_ocsp", BOTH, one, "Asks whether clients' certificates were revoked.", |cx| {
            let value = match cx.text(0).as_ref() {
                "off" => OcspMode::Off,
                "on" => OcspMode::Chain,
                "leaf" => OcspMode::Leaf,
                other => return Err(cx.error_at(0, format!("invalid value \"{other}\""))),
            };
            cx.once(&mut cx.server::<Ssl>().ocsp, value)
        }),
        words("ssl_ocsp_responder", "Who is asked about clients' certificates.", |ssl| &mut ssl.ocsp_responder),
        Row::new("ssl_ocsp_cache", BOTH, one, "Where what responders said of clients is kept.", |cx| {
            let value = ocsp_check::cache(cx)?;
            cx.once(&mut cx.server::<Ssl>().ocsp_cache, value.into())
        }),
        words("ssl_stapling_responder", "Who is asked about the server's certificates.", |ssl| &mut ssl.stapling_responder),
        flag("ssl_stapling_verify", "Answers must be signed by whom the authority trusts.", |ssl| &mut ssl.stapling_verify),
        http_flag("ssl_early_data", "TLS 1.3 0-RTT.", |ssl| &mut ssl.early_data),
        Row::new("ssl_conf_command", BOTH, Arity::exactly(2), "A command of OpenSSL's configuration.", conf_command),
        flag("ssl_certificate_watch", "Certificates that change in their files are taken up.", |ssl| &mut ssl.watch),
        flag("ssl_certificate_compression", "Certificates are sent compressed.", |ssl| &mut ssl.compression),
        Row::new(
            "ssl_object_cache_inheritable",
            Context::MAIN,
            Arity::Flag,
            "Files that have not changed are not read by a reload.",
            |cx| {
                let value = cx.flag(0)?;
                cx.once(&mut cx.global::<Inheritable>().0, value)
            },
        ),
        flag("ssl_reject_handshake", "Refuses all handshakes of the server.", |ssl| &mut ssl.reject),
        Row { contexts: SERVERS, ..file("ssl_key_log", "A file for the secrets of sessions.", |ssl| &mut ssl.key_log) },
    ]
}

/// The path of a file below the configuration's directory; `data:` and the like stay as they are.
fn path(cx: &Cx<'_>, i: usize) -> Rc<str> {
    let full = cx.global::<MainContext>().paths.resolve_conf(cx.arg(i));
    Rc::from(full.to_string_lossy())
}

fn named<S: Session>(cx: &Cx<'_>) -> Result<Complex<S>, Error> {
    let text = cx.arg(0);
    let is_stored = text.starts_with(b"store:");
    let is_file = text.starts_with(tls::certificate::STORED_FILE.as_bytes());
    if text.starts_with(b"engine:") || (is_stored && !is_file) {
        return Err(cx.error_at(0, format!("\"{}\" is not supported: keys come from files or \"data:\"", cx.text(0))));
    }
    let compiled = Complex::compile(text, &mut cx.global::<Variables<S>>()).map_err(|message| cx.error_at(0, message))?;
    match compiled.literal() {
        Some(text) if !text.is_empty() && !text.starts_with(b"data:") && !is_stored => {
            let full = cx.global::<MainContext>().paths.resolve_conf(text);
            Ok(Complex::from_literal(std::os::unix::ffi::OsStrExt::as_bytes(full.as_os_str())))
        }
        _ => Ok(compiled),
    }
}

fn session_cache(cx: &mut Cx<'_>) -> Result<(), Error> {
    let mut chosen = None;
    for i in 0..cx.args().len() {
        let word = cx.text(i);
        let invalid = || cx.error_at(i, format!("invalid session cache \"{word}\""));
        let next = match word.split_once(':') {
            None if word == "off" || word == "none" => SessionCache::None,
            None if word == "builtin" => SessionCache::Builtin(cache::BUILTIN),
            Some(("builtin", number)) => SessionCache::Builtin(number.parse().map_err(|_| invalid())?),
            Some(("shared", rest)) => {
                let (name, size) = rest.split_once(':').filter(|(name, _)| !name.is_empty()).ok_or_else(invalid)?;
                let size = text::parse_size(size.as_bytes(), false).and_then(|size| usize::try_from(size).ok()).ok_or_else(invalid)?;
                cache::declare(cx, i, name, size)?;
                SessionCache::Shared(name.into())
            }
            _ => return Err(invalid()),
        };
        // A shared cache beside a builtin one is asked alone: it holds whatever the other would.
        if !matches!((&chosen, &next), (Some(SessionCache::Shared(_)), SessionCache::Builtin(_))) {
            chosen = Some(next);
        }
    }
    cx.server::<Ssl>().cache = chosen;
    Ok(())
}

fn conf_command(cx: &mut Cx<'_>) -> Result<(), Error> {
    let (name, mut value) = (cx.text(0).into_owned(), cx.text(1).into_owned());
    if tls::commands::is_file(&name) {
        value = path(cx, 1).to_string();
    }
    let command = [(name, value)];
    Commands::new(&command).map_err(|problem| cx.error(problem.to_string()))?;
    Rc::make_mut(cx.server::<Ssl>().commands.get_or_insert_default()).extend(command);
    Ok(())
}
