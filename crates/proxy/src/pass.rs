//! `*_pass`: the target of a location, fixed or given by variables, and its resolution for a request.

use crate::record::{Record, State};
use crate::upstream::{Upstream, Upstreams};
use ::upstream::hosts;
use ::upstream::url::{self, Host, Url};
use base::log::Level;
use conf::row::Cx;
use conf::tree::SettingError;
use conf::tree::{Error, Span};
use http::resolving::Resolving;
use http::{Complex, Request, Variables, log_request};
use session::Outcome;
use std::cell::OnceCell;
use std::net::SocketAddr;
use std::rc::Rc;

/// What the value of a pass directive with variables can name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// `http://` and what follows.
    Url,
    /// An address or a group, behind a scheme that may be left out, or the one for TLS; empty is none.
    Address(&'static str, &'static str),
    /// A group.
    Group {
        /// The module, for the log.
        module: &'static str,
        /// The line for a value that is empty.
        empty: &'static str,
    },
}

/// What a pass directive says.
pub struct Pass {
    /// The URL as written, without its scheme.
    pub source: Complex,
    /// The whole URL as written.
    pub text: Box<[u8]>,
    /// Its parts, if it has no variables.
    pub url: Option<Url>,
    /// What it can name.
    pub kind: Kind,
    /// Where it stands in the configuration.
    pub span: Span,
    /// Name of its location, empty where no URI part can be.
    pub location: OnceCell<Box<[u8]>>,
    /// The group behind a fixed URL.
    pub upstream: OnceCell<Rc<Upstream>>,
}

impl Pass {
    /// Finds the group of a fixed URL, or makes one of its host's addresses.
    ///
    /// # Errors
    /// nginx's text: a name that does not resolve, a group with a port.
    pub fn resolve(&self, groups: &Upstreams, default_port: u16) -> Result<(), SettingError> {
        let Some(url) = &self.url else { return Ok(()) };
        let default_port = if url.secure && default_port != 0 { HTTPS } else { default_port };
        if self.upstream.get().is_some() {
            return Ok(());
        }
        let upstream = hosts::resolve(groups, url, default_port)?;
        // Nobody else resolves it in between.
        let _ = self.upstream.set(upstream);
        Ok(())
    }

    /// Name of the location that the URI part replaces.
    #[must_use]
    pub fn location(&self) -> &[u8] {
        self.location.get().map_or(&[], |l| l)
    }
}

/// What [`find`] answers without looking, where the configuration names the upstream.
pub fn fixed(pass: &Pass) -> Option<Result<(Option<Url>, Rc<Upstream>), Outcome>> {
    pass.url.as_ref()?;
    Some(pass.upstream.get().map(|upstream| (None, upstream.clone())).ok_or(Outcome::Status(500)))
}

/// The group for a request, and the URL if it had variables.
///
/// # Errors
/// The status to answer: 500 for a URL that is none, 502 for a name that nothing resolves. It has been logged.
pub async fn find(
    pass: &Pass,
    request: &Request,
    state: &State,
    record: &Record,
    default_port: u16,
) -> Result<(Option<Url>, Rc<Upstream>), Outcome> {
    if let Some(found) = fixed(pass) {
        return found;
    }
    let text = pass.source.to_vec(request);
    match pass.kind {
        Kind::Url => {}
        Kind::Address(scheme, secure) => return find_address(request, state, &text, scheme, secure).await,
        Kind::Group { module, empty } => return find_group(request, &text, module, empty),
    }
    // As in nginx a scheme alone is none.
    let after = |scheme| strip_scheme(&text, scheme).filter(|rest| !rest.is_empty());
    let (url, rest, default_port) = match (after(SCHEME), after(SECURE_SCHEME)) {
        (Some(rest), _) => (url::parse(rest, default_port), rest, default_port),
        (None, Some(rest)) => (url::parse(rest, HTTPS).map(Url::over_tls), rest, HTTPS),
        (None, None) => {
            log_request!(request, Level::Error, "invalid URL prefix in \"{}\"", String::from_utf8_lossy(&text));
            return Err(Outcome::Status(500));
        }
    };
    let url = url.map_err(|what| {
        log_request!(request, Level::Error, "{what} in upstream \"{}\"", String::from_utf8_lossy(rest));
        Outcome::Status(500)
    })?;
    let upstream = lookup(request, state, &url, default_port).await?;
    record.host.replace(url.host_header.to_vec());
    record.port.replace(url.port_text.to_vec());
    Ok((Some(url), upstream))
}

/// The group that the variables of a pass without URL name.
fn find_group(request: &Request, name: &[u8], module: &str, empty: &str) -> Result<(Option<Url>, Rc<Upstream>), Outcome> {
    if name.is_empty() {
        request.log(Level::Error, empty.as_bytes());
        return Err(Outcome::Status(500));
    }
    let groups = request.http.main.get::<Upstreams>();
    let found = groups.and_then(|groups| groups.find(name).cloned()).and_then(|group| Some((Some(url::parse(name, 0).ok()?), group)));
    found.ok_or_else(|| {
        log_request!(request, Level::Error, "{module}: upstream \"{}\" not found", String::from_utf8_lossy(name));
        Outcome::Status(500)
    })
}

/// The group or the address that the variables of a gateway's pass name.
async fn find_address(
    request: &Request,
    state: &State,
    text: &[u8],
    scheme: &str,
    secure: &str,
) -> Result<(Option<Url>, Rc<Upstream>), Outcome> {
    let url = gateway_url(text, scheme, secure).map_err(|(what, rest)| {
        log_request!(request, Level::Error, "{what} in upstream \"{}\"", String::from_utf8_lossy(rest));
        Outcome::Status(500)
    })?;
    let upstream = lookup(request, state, &url, 0).await?;
    Ok((Some(url), upstream))
}

/// Reads a pass directive that names an address behind a scheme, the one for TLS, or none.
///
/// # Errors
/// nginx's text for what is no address.
pub fn read(cx: &Cx<'_>, scheme: &'static str, secure: &'static str) -> Result<Pass, Error> {
    made(cx, cx.arg(0), scheme, secure)
}

/// As [`read`] for a text that stands for an argument left out.
///
/// # Errors
/// nginx's text for what is no address.
pub fn read_default(cx: &Cx<'_>, text: &[u8]) -> Result<Pass, Error> {
    made(cx, text, "", "")
}

fn made(cx: &Cx<'_>, text: &[u8], scheme: &'static str, secure: &'static str) -> Result<Pass, Error> {
    let source = Complex::compile(text, &mut cx.global::<Variables>()).map_err(|text| cx.error_at(0, text))?;
    let url = match source.literal() {
        None => None,
        Some(text) => {
            let parsed = gateway_url(text, scheme, secure);
            Some(parsed.map_err(|(what, rest)| cx.error_at(0, format!("{what} in upstream \"{}\"", String::from_utf8_lossy(rest))))?)
        }
    };
    let (kind, span) = (Kind::Address(scheme, secure), cx.directive.name.span);
    Ok(Pass { source, text: text.into(), url, kind, span, location: OnceCell::new(), upstream: OnceCell::new() })
}

/// Parses what the pass of a gateway says: an address behind a scheme, the one for TLS, or none.
///
/// # Errors
/// nginx's words for what is wrong, and with what.
pub(crate) fn gateway_url<'a>(text: &'a [u8], scheme: &str, secure: &str) -> Result<Url, (&'static str, &'a [u8])> {
    match strip_scheme(text, secure).filter(|_| !secure.is_empty()) {
        Some(rest) => address(rest).map(Url::over_tls).map_err(|what| (what, rest)),
        None => {
            let rest = strip_scheme(text, scheme).unwrap_or(text);
            address(rest).map_err(|what| (what, rest))
        }
    }
}

/// What URLs begin with.
const SCHEME: &str = "http://";
/// The same over TLS.
const SECURE_SCHEME: &str = "https://";
/// The port of URLs over TLS that name none.
const HTTPS: u16 = 443;

/// Parses an address without a URI.
///
/// # Errors
/// nginx's words for what is wrong.
pub fn address(text: &[u8]) -> Result<Url, &'static str> {
    url::parse_address(text, 0)
}

/// What stands behind `scheme`, whatever its case.
#[must_use]
pub fn strip_scheme<'a>(text: &'a [u8], scheme: &str) -> Option<&'a [u8]> {
    let (start, rest) = text.split_at_checked(scheme.len())?;
    start.eq_ignore_ascii_case(scheme.as_bytes()).then_some(rest)
}

/// Parses a fixed URL.
///
/// # Errors
/// nginx's words for what is wrong.
pub fn url(text: &[u8]) -> Result<Url, SettingError> {
    let parsed = match (strip_scheme(text, SCHEME), strip_scheme(text, SECURE_SCHEME)) {
        (Some(rest), _) => url::parse(rest, 80).map_err(|what| (what, rest)),
        (None, Some(rest)) => url::parse(rest, HTTPS).map(Url::over_tls).map_err(|what| (what, rest)),
        (None, None) => return Err("invalid URL prefix".into()),
    };
    parsed.map_err(|(what, rest)| format!("{what} in upstream \"{}\"", String::from_utf8_lossy(rest)).into())
}

async fn lookup(request: &Request, state: &State, url: &Url, default_port: u16) -> Result<Rc<Upstream>, Outcome> {
    if let Host::Name(name) = &url.host {
        if let Some(found) = request.http.main.get::<Upstreams>().and_then(|groups| hosts::known(groups, url, default_port)) {
            return Ok(found);
        }
        check_port(request, url, default_port)?;
        return resolve(request, name, url.port.unwrap_or(default_port)).await;
    }
    check_port(request, url, default_port)?;
    let addresses = url::addresses(url, default_port).map_err(|text| {
        log_request!(request, Level::Error, "{text}");
        Outcome::Status(502)
    })?;
    let key = addresses.first().map(ToString::to_string).unwrap_or_default();
    Ok(state.address(key.as_bytes(), || Upstream::implicit(&key, addresses)))
}

/// A protocol without a usual port needs one in each address.
fn check_port(request: &Request, url: &Url, default_port: u16) -> Result<(), Outcome> {
    if url.port.unwrap_or(default_port) != 0 || matches!(url.host, Host::Unix(_)) {
        return Ok(());
    }
    log_request!(request, Level::Error, "no port in upstream \"{}\"", String::from_utf8_lossy(&url.host_header));
    Err(Outcome::Status(500))
}

/// A group of the addresses that the location's resolver finds. It lives for one request: the next one gets the
/// addresses in another order, and what failed for this one is not held against them.
async fn resolve(request: &Request, name: &[u8], port: u16) -> Result<Rc<Upstream>, Outcome> {
    let shown = String::from_utf8_lossy(name);
    let resolving = request.conf::<Resolving>();
    let Some(resolver) = resolving.usable() else {
        log_request!(request, Level::Error, "no resolver defined to resolve {shown}");
        return Err(Outcome::Status(502));
    };
    match resolver.resolve(name, resolving.limit()).await {
        Ok(found) => Ok(Upstream::implicit(&shown, found.iter().map(|ip| SocketAddr::new(ip, port).into()).collect())),
        Err(failure) => {
            log_request!(request, Level::Error, "{shown} could not be resolved ({failure})");
            Err(Outcome::Status(502))
        }
    }
}
