//! The directives of `proxy_*` beyond the family's.

use crate::family;
use crate::pass::{self, Kind, Pass};
use crate::rewrite::{CookieFlags, FLAGS, Pattern, Rule};
use crate::values::{Proxy, Version};
use conf::context::{Arity, Context};
use conf::row::{Cx, Row};
use conf::tree::Error;
use http::{Complex, Regex, Variables};
use std::cell::OnceCell;
use std::rc::Rc;

const ALL: Context = Context::HTTP_ALL;

/// All rows of the module.
#[must_use]
pub fn rows() -> Vec<Row> {
    let places = Context::LOCATION.union(Context::LOCATION_IF).union(Context::LIMIT_EXCEPT);
    let mut rows = family::rows::<Proxy>();
    rows.extend(::upstream::secure::rows::rows::<Proxy, http::Request>("proxy", |proxy| &mut proxy.family.secure));
    rows.extend([
        Row::new("proxy_pass", places, Arity::exactly(1), "Passes requests on to an HTTP server.", proxy_pass),
        Row::new("proxy_set_header", ALL, Arity::exactly(2), "A header of the request sent upstream.", |cx| {
            let value = compile(cx, 1)?;
            Rc::make_mut(cx.location::<Proxy>().set_headers.get_or_insert_default()).push((cx.arg(0).into(), value));
            Ok(())
        }),
        Row::new("proxy_set_body", ALL, Arity::exactly(1), "The body of the request sent upstream.", |cx| {
            let value = compile(cx, 0)?;
            cx.once(&mut cx.location::<Proxy>().set_body, value)
        }),
        Row::new("proxy_method", ALL, Arity::exactly(1), "The method of the request sent upstream.", |cx| {
            let value = compile(cx, 0)?;
            cx.once(&mut cx.location::<Proxy>().method, value)
        }),
        Row::new("proxy_http_version", ALL, Arity::exactly(1), "The version spoken upstream.", |cx| {
            let value = match cx.arg(0) {
                b"1.0" => Version::Http10,
                b"1.1" => Version::Http11,
                b"2" => Version::Http2,
                _ => return Err(cx.error_at(0, format!("invalid value \"{}\"", cx.text(0)))),
            };
            cx.once(&mut cx.location::<Proxy>().version, value)
        }),
        Row::new("proxy_redirect", ALL, Arity::Between(1, 2), "Rewrites Location and Refresh.", redirect),
        Row::new("proxy_cookie_domain", ALL, Arity::Between(1, 2), "Rewrites the domain of cookies.", |cx| {
            cookie_rule(cx, true, |proxy| &mut proxy.cookie_domains)
        }),
        Row::new("proxy_cookie_path", ALL, Arity::Between(1, 2), "Rewrites the path of cookies.", |cx| {
            cookie_rule(cx, false, |proxy| &mut proxy.cookie_paths)
        }),
        Row::new("proxy_cookie_flags", ALL, Arity::Between(1, 4), "Sets and removes flags of cookies.", cookie_flags),
    ]);
    rows
}

fn compile(cx: &Cx<'_>, i: usize) -> Result<Complex, Error> {
    compile_text(cx, i, cx.arg(i))
}

fn compile_text(cx: &Cx<'_>, i: usize, text: &[u8]) -> Result<Complex, Error> {
    Complex::compile(text, &mut cx.global::<Variables>()).map_err(|text| cx.error_at(i, text))
}

fn regex(cx: &Cx<'_>, i: usize, text: &[u8], caseless: bool) -> Result<Pattern, Error> {
    let regex = Regex::new(text, caseless, &mut cx.global::<Variables>()).map_err(|text| cx.error_at(i, text))?;
    Ok(Pattern::Regex(Rc::new(regex)))
}

fn proxy_pass(cx: &mut Cx<'_>) -> Result<(), Error> {
    if cx.location::<Proxy>().pass.is_some() {
        return Err(cx.error("\"proxy_pass\" directive is duplicate"));
    }
    let text = cx.arg(0);
    let source = compile(cx, 0)?;
    let url = match source.literal() {
        None => None,
        Some(text) => Some(pass::url(text).map_err(|text| cx.error_at(0, text))?),
    };
    let pass = Pass {
        source,
        text: text.into(),
        url,
        kind: Kind::Url,
        span: cx.directive.name.span,
        location: OnceCell::new(),
        upstream: OnceCell::new(),
    };
    cx.location::<Proxy>().pass = Some(Rc::new(pass));
    Ok(())
}

fn redirect(cx: &mut Cx<'_>) -> Result<(), Error> {
    let mut redirects = cx.location::<Proxy>().redirects.as_deref().cloned().unwrap_or_default();
    if redirects.off {
        return Err(cx.duplicate());
    }
    match (cx.args().len(), cx.arg(0)) {
        (1, b"off") if redirects.default || !redirects.rules.is_empty() => return Err(cx.duplicate()),
        (1, b"off") => redirects.off = true,
        (1, b"default") if redirects.default => return Err(cx.duplicate()),
        (1, b"default") => {
            let known = cx.location::<Proxy>().pass.clone();
            match known {
                None => return Err(cx.error("\"proxy_redirect default\" should be placed after the \"proxy_pass\" directive")),
                Some(pass) if pass.url.is_none() => {
                    return Err(cx.error("\"proxy_redirect default\" cannot be used with \"proxy_pass\" directive with variables"));
                }
                Some(_) => redirects.default = true,
            }
        }
        (1, _) => return Err(cx.error_at(0, format!("invalid parameter \"{}\"", cx.text(0)))),
        _ => {
            let pattern = match cx.arg(0) {
                [b'~', b'*', text @ ..] => regex(cx, 0, text, true)?,
                [b'~', text @ ..] => regex(cx, 0, text, false)?,
                text => Pattern::Text(compile_text(cx, 0, text)?),
            };
            redirects.rules.push(Rule { pattern, replacement: compile(cx, 1)? });
        }
    }
    cx.location::<Proxy>().redirects = Some(Rc::new(redirects));
    Ok(())
}

fn cookie_rule(cx: &mut Cx<'_>, domain: bool, field: fn(&mut Proxy) -> &mut Option<Rc<Vec<Rule>>>) -> Result<(), Error> {
    if cx.args().len() == 1 {
        if cx.arg(0) != b"off" {
            return Err(cx.invalid_parameter(0));
        }
        return cx.once(field(&mut cx.location::<Proxy>()), Rc::default());
    }
    let off = field(&mut cx.location::<Proxy>()).as_ref().is_some_and(|rules| rules.is_empty());
    if off {
        return Err(cx.duplicate());
    }
    let pattern = match cx.arg(0) {
        // Domains have no case.
        [b'~', b'*', text @ ..] if !domain => regex(cx, 0, text, true)?,
        [b'~', text @ ..] => regex(cx, 0, text, domain)?,
        text => Pattern::Text(compile_text(cx, 0, without_dot(text, domain))?),
    };
    let rule = Rule { pattern, replacement: compile_text(cx, 1, without_dot(cx.arg(1), domain))? };
    Rc::make_mut(field(&mut cx.location::<Proxy>()).get_or_insert_default()).push(rule);
    Ok(())
}

/// The dot before a domain belongs to the cookie, not to the rule.
fn without_dot(text: &[u8], domain: bool) -> &[u8] {
    if domain { text.strip_prefix(b".").unwrap_or(text) } else { text }
}

fn cookie_flags(cx: &mut Cx<'_>) -> Result<(), Error> {
    if cx.args().len() == 1 {
        if cx.arg(0) != b"off" {
            return Err(cx.invalid_parameter(0));
        }
        return cx.once(&mut cx.location::<Proxy>().cookie_flags, Rc::default());
    }
    let off = cx.location::<Proxy>().cookie_flags.as_ref().is_some_and(|rules| rules.is_empty());
    if off {
        return Err(cx.duplicate());
    }
    let pattern = match cx.arg(0) {
        [b'~', text @ ..] => regex(cx, 0, text, true)?,
        text => Pattern::Text(compile_text(cx, 0, text)?),
    };
    let mut flags = Vec::new();
    for i in 1..cx.args().len() {
        let flag = compile(cx, i)?;
        if let Some(text) = flag.literal()
            && !FLAGS.iter().any(|(known, _)| known.as_bytes().eq_ignore_ascii_case(text))
        {
            return Err(cx.error_at(i, format!("invalid value \"{}\"", cx.text(i))));
        }
        flags.push(flag);
    }
    let rule = CookieFlags { pattern, flags: Rc::new(flags) };
    Rc::make_mut(cx.location::<Proxy>().cookie_flags.get_or_insert_default()).push(rule);
    Ok(())
}
