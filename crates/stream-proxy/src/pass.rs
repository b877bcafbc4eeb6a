//! The target of `proxy_pass`, fixed or given by variables.

use crate::groups::{Upstream, Upstreams};
use base::log::Level;
use conf::row::Cx;
use conf::tree::SettingError;
use conf::tree::{Error, Span};
use resolver::settings::Resolving;
use std::cell::OnceCell;
use std::fmt;
use std::net::SocketAddr;
use std::rc::Rc;
use stream::{Complex, Session, Variables, log_session};
use upstream::hosts;
use upstream::url::{self, Host, Url};

/// What the directive says.
pub struct Pass {
    /// As written.
    pub source: Complex,
    /// Where it leads, if it has no variables.
    pub url: Option<Url>,
    /// Where it stands in the configuration.
    pub span: Span,
    /// The group behind a fixed target.
    upstream: OnceCell<Rc<Upstream>>,
}

/// Where a session goes.
pub struct Target {
    /// The group.
    pub upstream: Rc<Upstream>,
    /// The address as evaluated, if it had variables.
    pub url: Option<Url>,
}

/// There is no target; it has been logged.
#[derive(Debug)]
pub struct NoTarget;

impl fmt::Display for NoTarget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("proxy_pass names no server")
    }
}

impl std::error::Error for NoTarget {}

impl Pass {
    /// Reads the directive.
    ///
    /// # Errors
    /// nginx's text for what is no address.
    pub fn read(cx: &Cx<'_>) -> Result<Pass, Error> {
        let source = Complex::compile(cx.arg(0), &mut cx.global::<Variables>()).map_err(|text| cx.error_at(0, text))?;
        let url = match source.literal() {
            None => None,
            Some(text) => {
                Some(url::parse_address(text, 0).map_err(|what| cx.error_at(0, format!("{what} in upstream \"{}\"", cx.text(0))))?)
            }
        };
        Ok(Pass { source, url, span: cx.directive.name.span, upstream: OnceCell::new() })
    }

    /// Finds the group of a fixed target, or makes one of its addresses.
    ///
    /// # Errors
    /// nginx's text: a name that does not resolve, a group with a port, a host without one.
    pub fn resolve(&self, groups: &Upstreams) -> Result<(), SettingError> {
        if let (Some(url), None) = (&self.url, self.upstream.get()) {
            // Nobody else resolves it in between.
            let _ = self.upstream.set(hosts::resolve(groups, url, 0)?);
        }
        Ok(())
    }

    /// The group of a fixed target.
    #[must_use]
    pub fn fixed(&self) -> Option<&Rc<Upstream>> {
        self.upstream.get()
    }

    /// Where a session goes.
    ///
    /// # Errors
    /// It goes nowhere.
    pub async fn find(&self, session: &Session) -> Result<Target, NoTarget> {
        if let Some(upstream) = self.upstream.get() {
            return Ok(Target { upstream: upstream.clone(), url: None });
        }
        let text = self.source.to_vec(session);
        let url = url::parse_address(&text, 0).map_err(|what| {
            log_session!(session, Level::Error, "{what} in upstream \"{}\"", String::from_utf8_lossy(&text));
            NoTarget
        })?;
        let upstream = look_up(session, &url).await?;
        Ok(Target { upstream, url: Some(url) })
    }
}

async fn look_up(session: &Session, url: &Url) -> Result<Rc<Upstream>, NoTarget> {
    if let Some(known) = session.configuration.main.get::<Upstreams>().and_then(|groups| hosts::known(groups, url, 0)) {
        return Ok(known);
    }
    let shown = String::from_utf8_lossy(&url.host_header);
    let port = url.port.unwrap_or(0);
    if port == 0 && !matches!(url.host, Host::Unix(_)) {
        log_session!(session, Level::Error, "no port in upstream \"{shown}\"");
        return Err(NoTarget);
    }
    let Host::Name(name) = &url.host else {
        // An address is looked up without asking anybody.
        let addresses = url::look_up(url, 0).unwrap_or_default();
        let name = addresses.first().map(ToString::to_string).unwrap_or_default();
        return Ok(Upstream::implicit(&name, addresses));
    };
    let shown = String::from_utf8_lossy(name);
    let resolving = session.conf::<Resolving>();
    let Some(resolver) = resolving.usable() else {
        log_session!(session, Level::Error, "no resolver defined to resolve {shown}");
        return Err(NoTarget);
    };
    match resolver.resolve(name, resolving.limit()).await {
        Ok(found) => Ok(Upstream::implicit(&shown, found.iter().map(|ip| SocketAddr::new(ip, port).into()).collect())),
        Err(failure) => {
            log_session!(session, Level::Error, "{shown} could not be resolved ({failure})");
            Err(NoTarget)
        }
    }
}
