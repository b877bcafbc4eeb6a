//! `override_method`, `$location`, `$remote_passwd`: ngx_coolkit's.

use crate::auth_basic;
use crate::compile::complex;
use conf::context::{Arity, Context};
use conf::row::{Cx, Row};
use conf::scope::Config;
use conf::switch::Switch;
use conf::tree::Error;
use http::location::Match;
use http::variables::define;
use http::{Attach, Complex, Levels, Method, Module, Outcome, Phase, Request, Step, Variables};
use session::variable::NO_CACHE;
use std::cell::RefCell;
use std::rc::Rc;

/// The module.
pub const MODULE: Module = Module { rows, levels, variables, attach, ..Module::named("coolkit") };

#[derive(Default)]
struct Conf {
    /// The inner `None` is `off`.
    source: Option<Switch<Rc<Source>>>,
}

/// Where the method comes from, and which methods it takes the place of.
struct Source {
    methods: Method,
    value: Complex,
}

impl Config for Conf {
    fn inherit(&mut self, parent: &Self) {
        conf::inherit!(self, parent; source);
    }
}

fn levels(levels: &mut Levels) {
    levels.location::<Conf>();
}

fn rows() -> Vec<Row> {
    vec![Row::new("override_method", Context::HTTP_ALL, Arity::AtLeast(1), "Takes the request's method from a value.", |cx| {
        let source = if cx.arg(0) == b"off" { Switch::Off } else { Switch::On(Rc::new(source(cx)?)) };
        cx.once(&mut cx.location::<Conf>().source, source)
    })]
}

/// The method of this name in any case; none of those that ngx_coolkit does not know.
fn known(name: &[u8]) -> Option<(&'static str, Method)> {
    let known = Method::ALL.iter().filter(|(_, method)| !method.intersects(Method::TRACE.or(Method::CONNECT)));
    known.copied().find(|(text, _)| text.as_bytes().eq_ignore_ascii_case(name))
}

fn source(cx: &Cx<'_>) -> Result<Source, Error> {
    let last = cx.args().len().saturating_sub(1);
    if cx.arg(last).is_empty() {
        return Err(cx.error_at(last, "coolkit: empty source in \"override_method\" directive"));
    }
    let mut methods = Method::NONE;
    for i in 0..last {
        let invalid = || cx.error_at(i, format!("coolkit: invalid method \"{}\" in \"override_method\" directive", cx.text(i)));
        methods = methods.or(known(cx.arg(i)).ok_or_else(invalid)?.1);
    }
    if last == 0 {
        methods = Method::ALL.iter().fold(Method::UNKNOWN, |all, (_, method)| all.or(*method));
    }
    Ok(Source { methods, value: complex(cx, last)? })
}

/// The method that the client sent, where another has its place.
struct Original(RefCell<(Method, Vec<u8>)>);

fn attach(at: &mut Attach<'_>) -> Result<(), Error> {
    if let Some(source) = at.conf::<Conf>().source.clone() {
        // A request that matches no location goes on with its server's values.
        if at.is_server {
            join(at, Phase::ServerRewrite, source.clone());
        }
        join(at, Phase::Rewrite, source);
    }
    Ok(())
}

fn join(at: &mut Attach<'_>, phase: Phase, source: Switch<Rc<Source>>) {
    at.phase(phase, move |request| {
        match &source {
            Switch::On(source) => replace(request, source),
            Switch::Off => restore(request),
        }
        Step::Now(Outcome::Declined)
    });
}

fn replace(request: &Rc<Request>, source: &Source) {
    let original = request.find_context::<Original>();
    let sent = original.as_ref().map_or_else(|| request.method(), |original| original.0.borrow().0);
    if !source.methods.intersects(sent) {
        return;
    }
    let Some((name, method)) = known(&source.value.to_vec(&**request)) else { return };
    if original.is_none() {
        let line = request.line.borrow();
        request.set_context(Rc::new(Original(RefCell::new((line.method, line.method_name.clone())))));
    }
    set(request, method, name.as_bytes());
}

fn restore(request: &Rc<Request>) {
    if let Some(original) = request.find_context::<Original>() {
        let (method, name) = &*original.0.borrow();
        set(request, *method, name);
    }
}

fn set(request: &Request, method: Method, name: &[u8]) {
    let mut line = request.line.borrow_mut();
    line.method = method;
    line.method_name.clear();
    line.method_name.extend_from_slice(name);
}

fn variables(variables: &mut Variables) {
    define(variables, "location", NO_CACHE, |request, out| {
        request.with_location(|location| match &location.kind {
            Match::Regex(regex) => {
                let line = request.line.borrow();
                let matched = regex.groups(&line.uri).and_then(|groups| groups.first().copied().flatten());
                let Some(text) = matched.and_then(|(start, end)| line.uri.get(start..end)) else { return false };
                out.extend_from_slice(text);
                true
            }
            _ => {
                out.extend_from_slice(&location.name);
                true
            }
        })
    });
    define(variables, "remote_passwd", NO_CACHE, |request, out| {
        let found = auth_basic::credentials(&request.headers.borrow(), auth_basic::is_proxy(request));
        let Some(found) = found else { return false };
        out.extend_from_slice(&found.password);
        true
    });
}
