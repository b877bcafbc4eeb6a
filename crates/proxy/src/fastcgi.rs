//! `fastcgi_pass`: FastCGI applications, PHP before all others.

use crate::destination;
use crate::dialect::fastcgi::FastCgi;
use crate::gateway::{self, Gateway, GatewayConf, Values};
use conf::context::{Arity, Context};
use conf::row::{self, Cx, Row};
use conf::scope::Config;
use conf::tree::Error;
use http::module::{Attach, Module};
use http::{Regex, Request, Variables, variables::define};
use session::variable::NO_CACHE;
use std::rc::Rc;

/// The module.
pub const MODULE: Module = Module {
    rows,
    levels: destination::levels::<GatewayConf<FastCgiConf>>,
    variables,
    complete: gateway::complete::<FastCgiConf>,
    attach,
    ..Module::named("fastcgi")
};

/// The `fastcgi_*` directives of a block.
#[derive(Default)]
struct FastCgiConf {
    /// `fastcgi_index`
    index: Option<Box<[u8]>>,
    /// `fastcgi_split_path_info`
    split: Option<Rc<Regex>>,
    /// `fastcgi_catch_stderr`, in order
    catch: Option<Rc<Vec<Box<[u8]>>>>,
    /// `fastcgi_keep_conn`
    keep_conn: Option<bool>,
}

impl Config for FastCgiConf {
    fn inherit(&mut self, parent: &Self) {
        conf::inherit!(self, parent; index, split, catch, keep_conn);
    }
}

impl Gateway for FastCgiConf {
    const NAME: &'static str = "fastcgi";
    const SCHEME: &'static str = "";
    const HIDDEN: &'static [&'static str] = &gateway::WITH_STATUS;
}

fn rows() -> Vec<Row> {
    let all = Context::HTTP_ALL;
    let mut rows = gateway::rows::<FastCgiConf>(true);
    rows.extend([
        Row::new("fastcgi_index", all, Arity::exactly(1), "File that a URI with a slash at its end stands for.", |cx| {
            cx.once(&mut cx.location::<Values<FastCgiConf>>().conf.alone.index, cx.arg(0).into())
        }),
        Row::new("fastcgi_split_path_info", all, Arity::exactly(1), "Splits a URI into script and path.", split),
        Row::new("fastcgi_catch_stderr", all, Arity::exactly(1), "An error message that makes the response invalid.", |cx| {
            Rc::make_mut(cx.location::<Values<FastCgiConf>>().conf.alone.catch.get_or_insert_default()).push(cx.arg(0).into());
            Ok(())
        }),
        row::flag::<Values<FastCgiConf>>("fastcgi_keep_conn", all, "Asks the application to keep the connection.", |values| {
            &mut values.conf.alone.keep_conn
        }),
    ]);
    rows
}

fn split(cx: &mut Cx<'_>) -> Result<(), Error> {
    let regex = Regex::new(cx.arg(0), false, &mut cx.global::<Variables>()).map_err(|text| cx.error_at(0, text))?;
    if regex.group_count() != 2 {
        return Err(cx.error_at(0, format!("pattern \"{}\" must have 2 captures", cx.text(0))));
    }
    // With nginx the last one in a block holds.
    cx.location::<Values<FastCgiConf>>().conf.alone.split = Some(Rc::new(regex));
    Ok(())
}

fn attach(at: &mut Attach<'_>) -> Result<(), Error> {
    gateway::attach(at, |params, own: &FastCgiConf| FastCgi {
        params,
        keep_conn: own.keep_conn.unwrap_or(false),
        catch: own.catch.clone().unwrap_or_default(),
    })
}

fn variables(variables: &mut Variables) {
    define(variables, "fastcgi_script_name", NO_CACHE, |request, out| {
        with_split(request, |own, script, _| {
            out.extend_from_slice(script);
            if script.last() == Some(&b'/') {
                out.extend_from_slice(own.index.as_deref().unwrap_or_default());
            }
        })
    });
    define(variables, "fastcgi_path_info", NO_CACHE, |request, out| with_split(request, |_, _, path| out.extend_from_slice(path)));
}

/// Calls `f` with the location's values and the URI's two parts.
fn with_split(request: &Request, f: impl FnOnce(&FastCgiConf, &[u8], &[u8])) -> bool {
    let values = request.conf::<Values<FastCgiConf>>();
    let own = &values.conf.alone;
    let line = request.line.borrow();
    let uri = line.uri.as_slice();
    let groups = own.split.as_ref().and_then(|split| split.groups(uri));
    let group = |n: usize| groups.as_ref()?.get(n).copied().flatten().and_then(|(start, end)| uri.get(start..end));
    match &groups {
        Some(_) => f(own, group(1).unwrap_or_default(), group(2).unwrap_or_default()),
        None => f(own, uri, b""),
    }
    true
}
