//! `proxy_pass`: the module that speaks HTTP to upstream servers.

use crate::destination::Destination;
use crate::dialect::Dialect;
use crate::dialect::http1::Http1;
use crate::dialect::http2::Http2;
use crate::dialect::request_line::RequestLine;
use crate::pass::Pass;
use crate::record::Record;
use crate::rewrite::{CookieRules, Pattern, Rule};
use crate::route::{HasRoute, Route};
use crate::rows;
use crate::secure;
use crate::values::{Proxy, Redirects, Version};
use crate::variables;
use base::serial;
use conf::scope::Frame;
use conf::tree::Error;
use conf::tree::SettingError;
use http::Request;
use http::location::Match;
use http::module::{Attach, Levels, Module};
use http::temp_path;
use http::variables::define;
use http::{Complex, Variables};
use session::variable::{CHANGEABLE, NO_CACHE};
use std::cell::OnceCell;
use std::rc::Rc;

/// The module.
pub const MODULE: Module = Module {
    rows: rows::rows,
    levels: Levels::location_only::<Proxy>,
    variables: define_variables,
    complete,
    attach,
    ..Module::named("proxy")
};

/// What an upstream's response keeps to itself unless `proxy_pass_header` says otherwise.
const HIDDEN: [&str; 8] =
    ["Date", "Server", "X-Pad", "X-Accel-Expires", "X-Accel-Redirect", "X-Accel-Limit-Rate", "X-Accel-Buffering", "X-Accel-Charset"];

/// The directory that serves where no directive names one.
fn complete(http: &Frame) -> Result<(), Error> {
    temp_path::by_default(&mut http.location.get::<Proxy>().family.temp_path, &http.global, b"proxy_temp", [1, 2, 0])
}

fn attach(at: &mut Attach<'_>) -> Result<(), Error> {
    let proxy = at.conf::<Proxy>();
    let Some(place) = Destination::find(at, proxy.pass.as_ref(), proxy.outer.as_ref()) else {
        return proxy.family.check("proxy");
    };
    let (pass, error) = (&place.pass, |error: SettingError| place.error(error));
    if !place.inherited {
        let without_uri = matches!(at.kind, Match::Regex(_) | Match::Named | Match::Unnamed);
        if without_uri && pass.url.as_ref().is_some_and(|url| !url.uri.is_empty()) {
            return Err(error(
                "\"proxy_pass\" cannot have URI part in location given by regular expression, or inside named location, or inside \"if\" statement, or inside \"limit_except\" block"
                    .into(),
            ));
        }
        let name: Box<[u8]> = if without_uri { Box::default() } else { at.name.into() };
        // A location is attached once.
        let _ = pass.location.set(name);
        if !without_uri && at.name.last() == Some(&b'/') {
            at.parts.auto_redirect = true;
        }
    }
    proxy.family.check("proxy")?;
    place.resolve(at, 80)?;
    let plan = proxy.family.plan("proxy", &HIDDEN).map_err(error)?;
    let version = proxy.version.unwrap_or_default();
    let alpn: &[&'static [u8]] = if version == Version::Http2 { &[b"h2"] } else { &[] };
    let secure = secure::secured(at, pass.url.as_ref(), &proxy.family.secure, "proxy", alpn).map_err(error)?;
    let route = Route {
        number: serial::next(),
        plan,
        redirects: redirects(&proxy, pass).map_err(error)?,
        pass: pass.clone(),
        secure,
        dialect: dialect(&proxy, version),
        cookies: CookieRules {
            domains: proxy.cookie_domains.clone().unwrap_or_default(),
            paths: proxy.cookie_paths.clone().unwrap_or_default(),
            flags: proxy.cookie_flags.clone().unwrap_or_default(),
        },
    };
    place.serve(at, &*proxy, route);
    Ok(())
}

fn dialect(proxy: &Proxy, version: Version) -> Box<dyn Dialect> {
    let set = proxy.set_headers.clone().unwrap_or_default();
    let own = RequestLine { method: proxy.method.clone(), body: proxy.set_body.clone() };
    match version {
        Version::Http2 => Box::new(Http2::new(own, &set, false)),
        _ => Box::new(Http1::new(version == Version::Http11, own, &set)),
    }
}

impl HasRoute for Proxy {
    fn route(&self) -> &OnceCell<Rc<Route>> {
        &self.route
    }
}

/// The rules for `Location`, the default one made of the location's name.
fn redirects(proxy: &Proxy, pass: &Pass) -> Result<Vec<Rule>, SettingError> {
    let redirects = proxy.redirects.clone().unwrap_or_else(|| Rc::new(Redirects { default: true, ..Redirects::default() }));
    if redirects.off {
        return Ok(Vec::new());
    }
    let mut rules = Vec::new();
    if redirects.default {
        match &pass.url {
            Some(url) => rules.push(default_redirect(&pass.text, !url.uri.is_empty(), pass.location())),
            None if proxy.redirects.is_some() && proxy.pass.is_some() => {
                return Err("\"proxy_redirect default\" cannot be used with \"proxy_pass\" directive with variables".into());
            }
            None => {}
        }
    }
    rules.extend(redirects.rules.iter().cloned());
    Ok(rules)
}

fn default_redirect(url: &[u8], has_uri: bool, location: &[u8]) -> Rule {
    let mut pattern = url.to_vec();
    let replacement = if has_uri {
        location
    } else {
        pattern.push(b'/');
        b"/"
    };
    Rule { pattern: Pattern::Text(Complex::from_literal(&pattern)), replacement: Complex::from_literal(replacement) }
}

fn define_variables(variables: &mut Variables) {
    variables::define_all(variables);
    define(variables, "proxy_host", NO_CACHE | CHANGEABLE, |r, out| target(r, out, |url| &url.host_header, |record| &record.host));
    define(variables, "proxy_port", NO_CACHE | CHANGEABLE, |r, out| target(r, out, |url| &url.port_text, |record| &record.port));
    define(variables, "proxy_add_x_forwarded_for", NO_CACHE, |request, out| {
        let headers = request.headers.borrow();
        for value in headers.get_all(b"x-forwarded-for") {
            out.extend_from_slice(value);
            out.extend_from_slice(b", ");
        }
        request.client.borrow().push_host(out);
        true
    });
}

type Field = std::cell::RefCell<Vec<u8>>;

fn target(request: &Request, out: &mut Vec<u8>, fixed: fn(&::upstream::url::Url) -> &[u8], evaluated: fn(&Record) -> &Field) -> bool {
    let route = request.with_location(|l| l.conf.get::<Proxy>().and_then(|p| p.route.get().cloned()));
    if let Some(url) = route.as_ref().and_then(|r| r.pass.url.as_ref()) {
        out.extend_from_slice(fixed(url));
        return true;
    }
    let Some(record) = request.find_lasting::<Record>() else { return false };
    let value = evaluated(&record).borrow();
    out.extend_from_slice(&value);
    !value.is_empty()
}
