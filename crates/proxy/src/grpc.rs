//! `grpc_pass`: gRPC servers, and others that speak HTTP/2.

use crate::dialect::http2::{Http2, Wishes};
use crate::family::{self, Member};
use crate::handler;
use crate::limits::default;
use crate::pass::{self, Pass};
use crate::rewrite::CookieRules;
use crate::route::{Route, Routed};
use crate::secure;
use crate::settings::{Family, Plan};
use crate::upstream::Upstreams;
use conf::context::{Arity, Context};
use conf::row::{Cx, Row};
use conf::scope::Config;
use conf::tree::Error;
use http::location::Match;
use http::module::{Attach, Levels, Module};
use http::{Complex, Variables};
use std::cell::OnceCell;
use std::rc::Rc;

/// The module.
pub const MODULE: Module = Module { rows, levels, attach, ..Module::named("grpc") };

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

/// What a block says of `grpc_*`.
#[derive(Default)]
struct Values {
    family: Family,
    /// `grpc_pass`; not inherited
    pass: Option<Rc<Pass>>,
    /// `grpc_pass` of the block outside, for blocks without a name
    outer: Option<Rc<Pass>>,
    /// `grpc_set_header`, in order
    set: Option<Rc<Vec<(Box<[u8]>, Complex)>>>,
    route: OnceCell<Rc<Route>>,
}

impl Config for Values {
    fn inherit(&mut self, parent: &Self) {
        self.family.inherit(&parent.family);
        conf::inherit!(self, parent; set);
        self.outer.clone_from(&parent.pass);
    }
}

impl Member for Values {
    const PREFIX: &'static str = "grpc";

    fn family(&mut self) -> &mut Family {
        &mut self.family
    }
}

impl Routed for Values {
    fn route(&self) -> &OnceCell<Rc<Route>> {
        &self.route
    }
}

fn rows() -> Vec<Row> {
    let mut rows = family::some_rows::<Values>(&SUFFIXES);
    rows.extend(
        ::upstream::secure::rows::rows::<Values, http::Request>("grpc", |values| &mut values.family().secure)
            .into_iter()
            .filter(|row| row.name != "grpc_ssl_key_log"),
    );
    let places = Context::LOCATION.union(Context::LOCATION_IF);
    rows.extend([
        Row::new("grpc_pass", places, Arity::exactly(1), "Passes requests on to a gRPC server.", pass),
        Row::new("grpc_set_header", Context::HTTP_ALL, Arity::exactly(2), "A header of the request sent upstream.", |cx| {
            let value = Complex::compile(cx.arg(1), &mut cx.global::<Variables>()).map_err(|text| cx.error_at(1, text))?;
            Rc::make_mut(cx.location::<Values>().set.get_or_insert_default()).push((cx.arg(0).into(), value));
            Ok(())
        }),
    ]);
    rows
}

fn pass(cx: &mut Cx<'_>) -> Result<(), Error> {
    if cx.location::<Values>().pass.is_some() {
        return Err(cx.duplicate());
    }
    let made = pass::read(cx, "grpc://", "grpcs://")?;
    cx.location::<Values>().pass = Some(Rc::new(made));
    Ok(())
}

fn levels(levels: &mut Levels) {
    levels.location::<Values>();
}

/// A request's body goes on as it comes, an answer leaves as it comes, trailers always.
fn plan(family: &Family) -> Result<Plan, String> {
    let mut family = family.clone();
    // There are no other buffers that the first one could contradict.
    family.buffers = Some((default::BUFFERS, family.buffer_size.unwrap_or(default::PAGE).max(default::PAGE)));
    let mut plan = family.plan("grpc", &HIDDEN)?;
    (plan.buffering, plan.request_buffering, plan.pass_trailers) = (false, false, true);
    Ok(plan)
}

fn attach(at: &mut Attach<'_>) -> Result<(), Error> {
    let values = at.conf::<Values>();
    let unnamed = matches!(at.kind, Match::Unnamed) && !at.is_server;
    let inherited = values.pass.is_none();
    let Some(pass) = values.pass.clone().or_else(|| values.outer.clone().filter(|_| unnamed)) else { return Ok(()) };
    let error = |text: String| Error::new(text, pass.span);
    if !inherited && at.name.last() == Some(&b'/') && !matches!(at.kind, Match::Regex(_)) {
        at.parts.auto_redirect = true;
    }
    pass.settle(&at.main_conf::<Upstreams>(), 0).map_err(error)?;
    let plan = plan(&values.family).map_err(error)?;
    let secure = secure::secured(at, pass.url.as_ref(), &values.family.secure, "grpc", &[b"h2"]).map_err(error)?;
    let set = values.set.clone().unwrap_or_default();
    let dialect = Http2::new(Wishes { set: &set, grpc: true, ..Wishes::default() });
    let cookies = CookieRules { domains: Rc::default(), paths: Rc::default(), flags: Rc::default() };
    let route = Rc::new(Route { plan, pass, secure, dialect: Box::new(dialect), redirects: Vec::new(), cookies });
    // The values of a location are frozen once.
    let _ = values.route.set(route.clone());
    if !inherited || at.parts.content.is_none() {
        at.content(move |request| handler::handle_current::<Values>(request, &route));
    }
    Ok(())
}
