//! What the modules of FastCGI, uwsgi and SCGI share: `*_pass`, `*_param`, and the location's handler.

use crate::dialect::Dialect;
use crate::dialect::gateway::{Param, Params};
use crate::family::{self, Member};
use crate::pass;
use crate::place::{self, HasPass, PassValues, Place};
use crate::route::Route;
use crate::secure;
use base::log::Level;
use conf::context::{Arity, Context};
use conf::row::{Cx, Row};
use conf::scope::{Config, Frame};
use conf::tree::Error;
use http::module::Attach;
use http::temp_path;
use http::{Complex, Variables};
use std::rc::Rc;

/// What a block says of such a protocol.
#[derive(Default)]
pub struct Common {
    /// The family's directives and the pass.
    pub own: PassValues,
    /// `*_param`, in order
    pub params: Option<Rc<Vec<Param>>>,
    /// The value of `HTTP_HOST` where no parameter gives one
    pub host: Option<Complex>,
}

impl Config for Common {
    fn inherit(&mut self, parent: &Self) {
        self.own.inherit(&parent.own);
        conf::inherit!(self, parent; params, host);
    }
}

/// A module of this kind.
pub trait Gateway: HasPass {
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
    let name = |suffix: &str| format!("{}_{suffix}", T::PROTOCOL);
    let mut rows = family::gateway_rows::<T>(send_lowat);
    if !T::SECURE_SCHEME.is_empty() {
        let key_log = name("ssl_key_log");
        rows.extend(
            ::upstream::secure::rows::rows::<T, http::Request>(T::PROTOCOL, |values| &mut values.family().secure)
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
    place::store::<T>(cx, || pass::read(cx, T::SCHEME, T::SECURE_SCHEME))
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
    let directory = format!("{}_temp", T::PROTOCOL);
    temp_path::by_default(&mut common.own.family.temp_path, &http.global, directory.as_bytes(), [1, 2, 0])
}

/// Gives a location its handler, if it has a pass: its own or that of the block around a block without a name.
///
/// # Errors
/// A group or a name that is not there, and nginx's texts for sizes that contradict each other.
pub fn attach<T: Gateway, D: Dialect + 'static>(
    at: &mut Attach<'_>,
    values: &T,
    common: &Common,
    dialect: impl FnOnce(Params) -> D,
) -> Result<(), Error> {
    let own = &common.own;
    let Some(place) = Place::find(at, own.pass.as_ref(), own.outer.as_ref()) else {
        return own.family.check(T::PROTOCOL);
    };
    let error = |text| place.error(text);
    place.redirect_slash(at);
    own.family.check(T::PROTOCOL)?;
    place.settle(at, 0)?;
    let plan = own.family.plan(T::PROTOCOL, T::HIDDEN).map_err(error)?;
    let secure = match T::SECURE_SCHEME {
        "" => None,
        _ => secure::secured(at, place.pass.url.as_ref(), &own.family.secure, T::PROTOCOL, &[]).map_err(error)?,
    };
    if plan.caching.as_ref().is_some_and(|caching| caching.key.is_none()) {
        at.log.log(Level::Warn, 0, format_args!("no \"{0}_cache_key\" for \"{0}_cache\"", T::PROTOCOL));
    }
    let params = Params::new(common.params.as_deref().map_or(&[], Vec::as_slice), common.host.as_ref());
    place.serve(at, values, Route::plain(plan, place.pass.clone(), secure, dialect(params)));
    Ok(())
}
