//! What the modules of FastCGI, uwsgi and SCGI share: `*_pass`, `*_param`, and the location's handler.

use crate::destination::{self, PassConf, Protocol};
use crate::dialect::Dialect;
use crate::dialect::gateway::{Param, Params};
use crate::family;
use crate::pass;
use crate::route::Route;
use crate::secure;
use crate::settings::next;
use conf::context::{Arity, Context};
use conf::row::{Cx, Row};
use conf::scope::{Config, Frame};
use conf::tree::Error;
use conf::tree::SettingError;
use http::module::Attach;
use http::temp_path;
use http::{Complex, Variables};
use std::rc::Rc;

/// The directives of such a protocol in a block.
#[derive(Default)]
pub struct GatewayConf<T> {
    /// `*_param`, in order
    params: Option<Rc<Vec<Param>>>,
    /// The value of `HTTP_HOST` where no parameter gives one
    host: Option<Complex>,
    /// What this one has alone.
    pub alone: T,
}

impl<T: Gateway> Config for GatewayConf<T> {
    fn inherit(&mut self, parent: &Self) {
        conf::inherit!(self, parent; params, host);
        self.alone.inherit(&parent.alone);
    }
}

impl<T: Gateway> Protocol for GatewayConf<T> {
    const NAME: &'static str = T::NAME;
    const CONDITIONS: &'static [(&'static str, u32)] = &next::GATEWAY_WORDS;
}

/// All directives of it in a block.
pub type Values<T> = PassConf<GatewayConf<T>>;

/// What a block says that one of these protocols has alone.
pub trait Gateway: Config {
    /// What its directives begin with, without the underscore.
    const NAME: &'static str;
    /// A scheme that its pass may have; empty is none.
    const SCHEME: &'static str;
    /// The scheme over TLS; empty is none.
    const SECURE_SCHEME: &'static str = "";
    /// Headers of the response that stay behind unless `*_pass_header` says otherwise.
    const HIDDEN: &'static [&'static str];
}

/// The headers that all of them hide.
pub(crate) const ORDERS: [&str; 5] = ["X-Accel-Expires", "X-Accel-Redirect", "X-Accel-Limit-Rate", "X-Accel-Buffering", "X-Accel-Charset"];
/// Those of protocols whose status is a header.
pub(crate) const WITH_STATUS: [&str; 6] =
    ["Status", "X-Accel-Expires", "X-Accel-Redirect", "X-Accel-Limit-Rate", "X-Accel-Buffering", "X-Accel-Charset"];

/// The rows that all of them have.
#[must_use]
pub fn rows<T: Gateway>(send_lowat: bool) -> Vec<Row> {
    let places = Context::LOCATION.union(Context::LOCATION_IF);
    let name = |suffix: &str| format!("{}_{suffix}", T::NAME);
    let mut rows = family::gateway_rows::<Values<T>>(send_lowat);
    if !T::SECURE_SCHEME.is_empty() {
        let key_log = name("ssl_key_log");
        rows.extend(
            ::upstream::secure::rows::rows::<Values<T>, http::Request>(T::NAME, |values| &mut values.family.secure)
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
    let mut values = cx.location::<Values<T>>();
    Rc::make_mut(values.conf.params.get_or_insert_default()).push(Param { name: cx.arg(0).into(), value, if_not_empty });
    Ok(())
}

fn pass<T: Gateway>(cx: &mut Cx<'_>) -> Result<(), Error> {
    destination::store::<GatewayConf<T>>(cx, || pass::read(cx, T::SCHEME, T::SECURE_SCHEME))
}

/// What holds where no directive says otherwise.
///
/// # Errors
/// A directive uses the directory of temporary files for something else.
pub fn complete<T: Gateway>(http: &Frame) -> Result<(), Error> {
    let host = Complex::compile(b"$host$is_request_port$request_port", &mut http.global.get::<Variables>());
    let mut values = http.location.get::<Values<T>>();
    values.conf.host = host.ok();
    let directory = format!("{}_temp", T::NAME);
    temp_path::by_default(&mut values.family.temp_path, &http.global, directory.as_bytes(), [1, 2, 0])
}

/// Gives a location its handler, if it has a pass: its own or that of the block around a block without a name.
///
/// # Errors
/// A group or a name that is not there, and nginx's texts for sizes that contradict each other.
pub fn attach<T: Gateway, D: Dialect + 'static>(at: &mut Attach<'_>, dialect: impl FnOnce(Params, &T) -> D) -> Result<(), Error> {
    let values = at.conf::<Values<T>>();
    let Some(destination) = values.destination(at) else {
        return values.family.check(T::NAME);
    };
    let error = |error: SettingError| destination.error(error);
    destination.redirect_slash(at);
    values.family.check(T::NAME)?;
    destination.resolve(at, 0)?;
    let plan = values.family.plan(T::NAME, T::HIDDEN).map_err(error)?;
    let secure = match T::SECURE_SCHEME {
        "" => None,
        _ => secure::secured(at, destination.pass.url.as_ref(), &values.family.secure, T::NAME, &[]).map_err(error)?,
    };
    if plan.caching.as_ref().is_some_and(|caching| caching.key.is_none()) {
        let text = format!("no \"{0}_cache_key\" for \"{0}_cache\"", T::NAME);
        at.warnings.borrow_mut().push(error(text.into()));
    }
    let own = &values.conf;
    let params = Params::new(own.params.as_deref().map_or(&[], Vec::as_slice), own.host.as_ref());
    destination.serve(at, &*values, Route::plain(plan, destination.pass.clone(), secure, dialect(params, &own.alone)));
    Ok(())
}
