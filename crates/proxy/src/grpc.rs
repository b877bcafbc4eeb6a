//! `grpc_pass`: gRPC servers, and others that speak HTTP/2.

use crate::dialect::http2::Http2;
use crate::dialect::request_line;
use crate::family;
use crate::pass;
use crate::place::{self, PassConf, Protocol};
use crate::route::Route;
use crate::secure;
use conf::context::{Arity, Context};
use conf::row::{Cx, Row};
use conf::scope::Config;
use conf::tree::Error;
use conf::tree::SettingError;
use http::module::{Attach, Module};
use http::{Complex, Variables};
use std::rc::Rc;

/// The module.
pub const MODULE: Module = Module { rows, levels: place::levels::<GrpcConf>, attach, ..Module::named("grpc") };

/// What an upstream's answer keeps to itself unless `grpc_pass_header` says otherwise.
const HIDDEN: [&str; 7] =
    ["Date", "Server", "X-Accel-Expires", "X-Accel-Redirect", "X-Accel-Limit-Rate", "X-Accel-Buffering", "X-Accel-Charset"];

/// The family's directives that gRPC has: its answers are passed on as they come.
const SUFFIXES: [&str; 15] = [
    "bind",
    "socket_keepalive",
    "socket_rcvbuf",
    "socket_sndbuf",
    "connect_timeout",
    "send_timeout",
    "read_timeout",
    "buffer_size",
    "intercept_errors",
    "next_upstream",
    "next_upstream_tries",
    "next_upstream_timeout",
    "pass_header",
    "hide_header",
    "ignore_headers",
];

/// The `grpc_*` directives of a block.
#[derive(Default)]
struct GrpcConf {
    /// `grpc_set_header`, in order
    set: Option<Rc<Vec<(Box<[u8]>, Complex)>>>,
}

impl Config for GrpcConf {
    fn inherit(&mut self, parent: &Self) {
        conf::inherit!(self, parent; set);
    }
}

impl Protocol for GrpcConf {
    const NAME: &'static str = "grpc";
}

type Values = PassConf<GrpcConf>;

fn rows() -> Vec<Row> {
    let mut rows = family::some_rows::<Values>(&SUFFIXES);
    rows.extend(
        ::upstream::secure::rows::rows::<Values, http::Request>("grpc", |values| &mut values.family.secure)
            .into_iter()
            .filter(|row| row.name != "grpc_ssl_key_log"),
    );
    let places = Context::LOCATION.union(Context::LOCATION_IF);
    rows.extend([
        Row::new("grpc_pass", places, Arity::exactly(1), "Passes requests on to a gRPC server.", pass),
        Row::new("grpc_set_header", Context::HTTP_ALL, Arity::exactly(2), "A header of the request sent upstream.", |cx| {
            let value = Complex::compile(cx.arg(1), &mut cx.global::<Variables>()).map_err(|text| cx.error_at(1, text))?;
            Rc::make_mut(cx.location::<Values>().conf.set.get_or_insert_default()).push((cx.arg(0).into(), value));
            Ok(())
        }),
    ]);
    rows
}

fn pass(cx: &mut Cx<'_>) -> Result<(), Error> {
    place::store::<GrpcConf>(cx, || pass::read(cx, "grpc://", "grpcs://"))
}

fn attach(at: &mut Attach<'_>) -> Result<(), Error> {
    let values = at.conf::<Values>();
    let Some(place) = values.place(at) else { return Ok(()) };
    let error = |error: SettingError| place.error(error);
    place.redirect_slash(at);
    place.resolve(at, 0)?;
    let mut plan = place::plan(&values.family, "grpc", &HIDDEN).map_err(error)?;
    // A request's body goes on as it comes, as its answer does, and trailers always.
    (plan.request_buffering, plan.pass_trailers) = (false, true);
    let secure = secure::secured(at, place.pass.url.as_ref(), &values.family.secure, "grpc", &[b"h2"]).map_err(error)?;
    let set = values.conf.set.clone().unwrap_or_default();
    let dialect = Http2::new(request_line::RequestLine::default(), &set, true);
    place.serve(at, &*values, Route::plain(plan, place.pass.clone(), secure, dialect));
    Ok(())
}
