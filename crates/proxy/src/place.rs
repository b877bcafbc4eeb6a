//! Locations of protocols whose pass directive is a bare address: `memc_pass`, `memcached_pass`, `redis2_pass`.

use crate::dialect::Dialect;
use crate::family::Member;
use crate::handler;
use crate::limits::default;
use crate::pass::{Kind, Pass};
use crate::rewrite::CookieRules;
use crate::route::{Route, Routed};
use crate::settings::{Family, Plan};
use crate::upstream::Upstreams;
use ::upstream::url;
use conf::row::Cx;
use conf::tree::Error;
use http::location::Match;
use http::module::Attach;
use http::{Complex, Variables};
use std::cell::OnceCell;
use std::rc::Rc;

/// Reads an address: `HOST:PORT`, `unix:PATH`, or a group.
///
/// # Errors
/// nginx's text for what is no address.
pub fn read(cx: &Cx<'_>, kind: Kind) -> Result<Rc<Pass>, Error> {
    let source = Complex::compile(cx.arg(0), &mut cx.global::<Variables>()).map_err(|text| cx.error_at(0, text))?;
    let url = match source.literal() {
        None => None,
        Some(text) => Some(url::parse_address(text, 0).map_err(|what| cx.error_at(0, format!("{what} in upstream \"{}\"", cx.text(0))))?),
    };
    let text = cx.arg(0).into();
    let span = cx.directive.name.span;
    Ok(Rc::new(Pass { source, text, url, kind, span, location: OnceCell::new(), upstream: OnceCell::new() }))
}

/// The family's settings as these protocols have them: nothing is read ahead, and 404 is answered here.
///
/// # Errors
/// nginx's texts for sizes that contradict each other.
fn plan(family: &Family, prefix: &str) -> Result<Plan, String> {
    let mut family = family.clone();
    // There are no other buffers that the first one could contradict.
    family.buffers = Some((default::BUFFERS, family.buffer_size.unwrap_or(default::PAGE).max(default::PAGE)));
    let mut plan = family.plan(prefix, &[])?;
    (plan.buffering, plan.intercept_errors, plan.intercept_404) = (false, true, true);
    Ok(plan)
}

/// Gives a location its handler, if it has a pass: its own or that of the block around a block without a name.
///
/// # Errors
/// A group or a name that is not there, and nginx's texts for sizes that contradict each other.
pub fn attach<V: Routed + Member>(
    at: &mut Attach<'_>,
    values: &V,
    family: &Family,
    own: Option<Rc<Pass>>,
    outer: Option<Rc<Pass>>,
    dialect: impl Dialect + 'static,
) -> Result<(), Error> {
    let unnamed = matches!(at.kind, Match::Unnamed) && !at.is_server;
    let inherited = own.is_none();
    let span = own.as_ref().or(outer.as_ref()).map(|pass| pass.span).unwrap_or_default();
    let plan = plan(family, V::PREFIX).map_err(|text| Error::new(text, span))?;
    let Some(pass) = own.or_else(|| outer.filter(|_| unnamed)) else { return Ok(()) };
    if !inherited && at.name.last() == Some(&b'/') && !matches!(at.kind, Match::Regex(_)) {
        at.parts.auto_redirect = true;
    }
    pass.settle(&at.main_conf::<Upstreams>(), 0).map_err(|text| Error::new(text, pass.span))?;
    let cookies = CookieRules { domains: Rc::default(), paths: Rc::default(), flags: Rc::default() };
    let route = Rc::new(Route { plan, pass, secure: None, dialect: Box::new(dialect), redirects: Vec::new(), cookies });
    // The values of a location are frozen once.
    let _ = values.route().set(route.clone());
    // The location may have the handler of another module's directive.
    if !inherited || at.parts.content.is_none() {
        at.content(move |request| handler::handle_current::<V>(request, &route));
    }
    Ok(())
}
