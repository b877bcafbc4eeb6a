//! What the modules of FastCGI, uwsgi and SCGI share: `*_pass`, `*_param`, and the location's handler.

use crate::dialect::Dialect;
use crate::dialect::gateway::{Param, Params};
use crate::family::{self, Member};
use crate::handler;
use crate::pass::{self, Pass};
use crate::rewrite::CookieRules;
use crate::route::{Route, Routed};
use crate::secure;
use crate::settings::Family;
use crate::upstream::Upstreams;
use base::log::Level;
use conf::context::{Arity, Context};
use conf::row::{Cx, Row};
use conf::scope::{Config, Frame};
use conf::tree::Error;
use http::location::Match;
use http::module::Attach;
use http::temp_path;
use http::{Complex, Variables};
use std::cell::OnceCell;
use std::rc::Rc;

/// What a block says of such a protocol.
#[derive(Default)]
pub struct Common {
    /// The family's directives.
    pub family: Family,
    /// `*_pass`; not inherited
    pub pass: Option<Rc<Pass>>,
    /// `*_pass` of the block outside, for blocks without a name
    pub outer: Option<Rc<Pass>>,
    /// `*_param`, in order
    pub params: Option<Rc<Vec<Param>>>,
    /// The value of `HTTP_HOST` where no parameter gives one
    pub host: Option<Complex>,
    /// See [`Routed::route`]
    pub route: OnceCell<Rc<Route>>,
}

impl Config for Common {
    fn inherit(&mut self, parent: &Self) {
        self.family.inherit(&parent.family);
        conf::inherit!(self, parent; params, host);
        self.outer.clone_from(&parent.pass);
    }
}

/// A module of this kind.
pub trait Gateway: Member + Routed {
    /// A scheme that its pass may have; empty is none.
    const SCHEME: &'static str;
    /// The scheme over TLS; empty is none.
    const SECURE_SCHEME: &'static str = "";
    /// Headers of the answer that stay behind unless `*_pass_header` says otherwise.
    const HIDDEN: &'static [&'static str];

    /// The common values.
    fn common(&mut self) -> &mut Common;
}

/// The headers that all of them hide.
pub const ORDERS: [&str; 5] = ["X-Accel-Expires", "X-Accel-Redirect", "X-Accel-Limit-Rate", "X-Accel-Buffering", "X-Accel-Charset"];
/// Those of protocols whose status is a header.
pub const WITH_STATUS: [&str; 6] =
    ["Status", "X-Accel-Expires", "X-Accel-Redirect", "X-Accel-Limit-Rate", "X-Accel-Buffering", "X-Accel-Charset"];

/// The rows that all of them have.
#[must_use]
pub fn rows<T: Gateway>(send_lowat: bool) -> Vec<Row> {
    let places = Context::LOCATION.union(Context::LOCATION_IF);
    let name = |suffix: &str| format!("{}_{suffix}", T::PREFIX);
    let mut rows = family::gateway_rows::<T>(send_lowat);
    if !T::SECURE_SCHEME.is_empty() {
        let key_log = name("ssl_key_log");
        rows.extend(
            ::upstream::secure::rows::rows::<T, http::Request>(T::PREFIX, |values| &mut values.family().secure)
                .into_iter()
                .filter(|row| row.name != key_log),
        );
    }
    rows.extend([
        Row::new(name("pass"), places, Arity::exactly(1), "Passes requests on to an application server.", pass::<T>),
        Row::new(name("param"), Context::HTTP_ALL, Arity::Between(2, 3), "A parameter of the request sent upstream.", param::<T>),
    ]);
    rows
}

fn param<T: Gateway>(cx: &mut Cx<'_>) -> Result<(), Error> {
    let value = Complex::compile(cx.arg(1), &mut cx.global::<Variables>()).map_err(|text| cx.error_at(1, text))?;
    let if_not_empty = match cx.args().len() {
        2 => false,
        _ if cx.arg(2) == b"if_not_empty" => true,
        _ => return Err(cx.invalid_parameter(2)),
    };
    let mut own = cx.location::<T>();
    Rc::make_mut(own.common().params.get_or_insert_default()).push(Param { name: cx.arg(0).into(), value, if_not_empty });
    Ok(())
}

fn pass<T: Gateway>(cx: &mut Cx<'_>) -> Result<(), Error> {
    if cx.location::<T>().common().pass.is_some() {
        return Err(cx.duplicate());
    }
    let made = pass::read(cx, T::SCHEME, T::SECURE_SCHEME)?;
    cx.location::<T>().common().pass = Some(Rc::new(made));
    Ok(())
}

/// What holds where no directive says otherwise.
///
/// # Errors
/// A directive uses the directory of temporary files for something else.
pub fn complete<T: Gateway>(http: &Frame) -> Result<(), Error> {
    let host = Complex::compile(b"$host$is_request_port$request_port", &mut http.global.get::<Variables>());
    let mut own = http.location.get::<T>();
    let common = own.common();
    common.host = host.ok();
    let directory = format!("{}_temp", T::PREFIX);
    temp_path::by_default(&mut common.family.temp_path, &http.global, directory.as_bytes(), [1, 2, 0])
}

/// Gives a location its handler, if it has a pass: its own or that of the block around a block without a name.
///
/// # Errors
/// A group or a name that is not there, and nginx's texts for sizes that contradict each other.
pub fn attach<T: Gateway, D: Dialect + 'static>(
    at: &mut Attach<'_>,
    common: &Common,
    dialect: impl FnOnce(Params) -> D,
) -> Result<(), Error> {
    let unnamed = matches!(at.kind, Match::Unnamed) && !at.is_server;
    let inherited = common.pass.is_none();
    let Some(pass) = common.pass.clone().or_else(|| common.outer.clone().filter(|_| unnamed)) else {
        return common.family.check(T::PREFIX);
    };
    let error = |text: String| Error::new(text, pass.span);
    if !inherited && at.name.last() == Some(&b'/') && !matches!(at.kind, Match::Regex(_)) {
        at.parts.auto_redirect = true;
    }
    common.family.check(T::PREFIX)?;
    pass.settle(&at.main_conf::<Upstreams>(), 0).map_err(error)?;
    let plan = common.family.plan(T::PREFIX, T::HIDDEN).map_err(error)?;
    let secure = match T::SECURE_SCHEME {
        "" => None,
        _ => secure::secured(at, pass.url.as_ref(), &common.family.secure, T::PREFIX, &[]).map_err(error)?,
    };
    if plan.caching.as_ref().is_some_and(|caching| caching.key.is_none()) {
        at.log.log(Level::Warn, 0, format_args!("no \"{0}_cache_key\" for \"{0}_cache\"", T::PREFIX));
    }
    let params = Params::new(common.params.as_deref().map_or(&[], Vec::as_slice), common.host.as_ref());
    let cookies = CookieRules { domains: Rc::default(), paths: Rc::default(), flags: Rc::default() };
    let route = Rc::new(Route { plan, pass, secure, dialect: Box::new(dialect(params)), redirects: Vec::new(), cookies });
    // The values of a location are frozen once.
    let _ = common.route.set(route.clone());
    if !inherited || at.parts.content.is_none() {
        at.content(move |request| handler::handle_current::<T>(request, &route));
    }
    Ok(())
}
