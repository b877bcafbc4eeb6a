//! What the `*_pass` directives of all protocols have in common.

use crate::check::Checked;
use crate::dialect::Dialect;
use crate::family::Member;
use crate::handler;
use crate::limits::default;
use crate::pass::{Kind, Pass};
use crate::route::{HasRoute, Route};
use crate::settings::{Family, Plan, next};
use crate::upstream::Upstreams;
use ::upstream::url;
use conf::row::Cx;
use conf::scope::Config;
use conf::tree::Error;
use conf::tree::SettingError;
use http::location::Match;
use http::module::{Attach, Levels};
use http::{Complex, Variables};
use std::cell::OnceCell;
use std::rc::Rc;

/// What a protocol's block says beyond the family's directives.
pub trait Protocol: Config {
    /// What its directives begin with, without the underscore.
    const NAME: &'static str;
    /// The words of its `*_next_upstream`.
    const CONDITIONS: &'static [(&'static str, u32)] = &next::WORDS;
}

/// The directives of a protocol in a block: the family's, the target, and the protocol's own.
#[derive(Default)]
pub struct PassConf<T> {
    /// The family's directives.
    pub family: Family,
    /// `*_pass`; not inherited
    pub pass: Option<Rc<Pass>>,
    /// `*_pass` of the block outside, for blocks without a name
    outer: Option<Rc<Pass>>,
    /// See [`HasRoute::route`]
    route: OnceCell<Rc<Route>>,
    /// The protocol's own.
    pub conf: T,
}

impl<T: Protocol> Config for PassConf<T> {
    fn inherit(&mut self, parent: &Self) {
        self.family.inherit(&parent.family);
        self.conf.inherit(&parent.conf);
        self.outer.clone_from(&parent.pass);
    }
}

impl<T: Protocol> Member for PassConf<T> {
    const PREFIX: &'static str = T::NAME;
    const NEXT: &'static [(&'static str, u32)] = T::CONDITIONS;

    fn family(&mut self) -> &mut Family {
        &mut self.family
    }
}

impl<T: Protocol> HasRoute for PassConf<T> {
    fn route(&self) -> &OnceCell<Rc<Route>> {
        &self.route
    }
}

impl<T: Protocol> PassConf<T> {
    /// Where its location passes requests on to, if it does.
    #[must_use]
    pub fn place(&self, at: &Attach<'_>) -> Option<Destination> {
        Destination::find(at, self.pass.as_ref(), self.outer.as_ref())
    }
}

/// The configuration type.
pub fn levels<T: Protocol>(levels: &mut Levels) {
    levels.location::<PassConf<T>>();
}

/// The family's directives that memcached and Redis have as nginx's own modules know them.
pub const KEYED: [&str; 9] = [
    "bind",
    "socket_keepalive",
    "connect_timeout",
    "send_timeout",
    "read_timeout",
    "buffer_size",
    "next_upstream",
    "next_upstream_tries",
    "next_upstream_timeout",
];

/// Stores what a `*_pass` says, once.
///
/// # Errors
/// It is the block's second one, or what `read` says.
pub fn store<T: Protocol>(cx: &Cx<'_>, read: impl FnOnce() -> Result<Pass, Error>) -> Result<(), Error> {
    if cx.location::<PassConf<T>>().pass.is_some() {
        return Err(cx.duplicate());
    }
    let pass = read()?;
    cx.location::<PassConf<T>>().pass = Some(Rc::new(pass));
    Ok(())
}

/// Reads an address: `HOST:PORT`, `unix:PATH`, or a group.
///
/// # Errors
/// nginx's text for what is no address.
pub fn read(cx: &Cx<'_>, kind: Kind) -> Result<Pass, Error> {
    let source = Complex::compile(cx.arg(0), &mut cx.global::<Variables>()).map_err(|text| cx.error_at(0, text))?;
    let url = match source.literal() {
        None => None,
        Some(text) => Some(url::parse_address(text, 0).map_err(|what| cx.error_at(0, format!("{what} in upstream \"{}\"", cx.text(0))))?),
    };
    let text = cx.arg(0).into();
    let span = cx.directive.name.span;
    Ok(Pass { source, text, url, kind, span, location: OnceCell::new(), upstream: OnceCell::new() })
}

/// The settings of a family whose answers are not read ahead.
///
/// # Errors
/// nginx's texts for sizes that contradict each other.
pub fn plan(family: &Family, prefix: &str, hidden: &[&str]) -> Result<Plan, SettingError> {
    let mut family = family.clone();
    // There are no other buffers that the first one could contradict.
    family.buffers = Some((default::BUFFERS, family.buffer_size.unwrap_or(default::PAGE).max(default::PAGE)));
    let mut plan = family.plan(prefix, hidden)?;
    plan.buffering = false;
    Ok(plan)
}

/// Where a location passes requests on to.
pub struct Destination {
    /// The target.
    pub pass: Rc<Pass>,
    /// It is that of the block around.
    pub inherited: bool,
}

impl Destination {
    /// A location's own pass, or that of the block around a block without a name.
    #[must_use]
    pub fn find(at: &Attach<'_>, own: Option<&Rc<Pass>>, outer: Option<&Rc<Pass>>) -> Option<Destination> {
        let unnamed = matches!(at.kind, Match::Unnamed) && !at.is_server;
        let pass = own.or_else(|| outer.filter(|_| unnamed))?.clone();
        Some(Destination { pass, inherited: own.is_none() })
    }

    /// An error about it.
    #[must_use]
    pub fn error(&self, text: impl Into<String>) -> Error {
        Error::new(text, self.pass.span)
    }

    /// Finds the group.
    ///
    /// # Errors
    /// A group or a name that is not there.
    pub fn resolve(&self, at: &Attach<'_>, port: u16) -> Result<(), Error> {
        self.pass.resolve(&at.main_conf::<Upstreams>(), port).map_err(|text| self.error(text))
    }

    /// Requests for the location without the slash at its end are redirected to it.
    pub(crate) fn redirect_slash(&self, at: &mut Attach<'_>) {
        if !self.inherited && at.name.last() == Some(&b'/') && !matches!(at.kind, Match::Regex(_)) {
            at.parts.auto_redirect = true;
        }
    }

    /// Gives the location its handler.
    pub fn serve<T: HasRoute>(&self, at: &mut Attach<'_>, values: &T, route: Route) {
        let route = Rc::new(route);
        // The values of a location are frozen once.
        let _ = values.route().set(route.clone());
        if !self.inherited {
            // The same.
            let _ = at.conf::<Checked>().route.set(route.clone());
        }
        // The location may have the handler of another module's directive.
        if !self.inherited || at.parts.content.is_none() {
            at.content(move |request| handler::handle_current::<T>(request, &route));
        }
    }
}

/// Gives a location of memcached or Redis its handler, if it has a pass: 404 is answered here.
///
/// # Errors
/// A group or a name that is not there, and nginx's texts for sizes that contradict each other.
pub fn attach<T: Protocol>(
    at: &mut Attach<'_>,
    values: &PassConf<T>,
    family: &Family,
    dialect: impl Dialect + 'static,
) -> Result<(), Error> {
    let span = values.pass.as_ref().or(values.outer.as_ref()).map(|pass| pass.span).unwrap_or_default();
    let mut plan = plan(family, T::NAME, &[]).map_err(|text| Error::new(text, span))?;
    (plan.intercept_errors, plan.intercept_404) = (true, true);
    // A value is whole, whoever asks: ranges are cut here.
    plan.force_ranges = T::NAME == "memcached";
    let Some(place) = values.place(at) else { return Ok(()) };
    place.redirect_slash(at);
    place.resolve(at, 0)?;
    place.serve(at, values, Route::plain(plan, place.pass.clone(), None, dialect));
    Ok(())
}
