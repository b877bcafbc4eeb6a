//! `keepalive` and its companions in `upstream`.

use crate::upstream::part;
use ::upstream::balancer::CustomBalancer;
use conf::context::{Arity, Context};
use conf::row::{Cx, Row};
use conf::tree::Error;
use http::module::Module;

/// The directives.
pub const MODULE: Module = Module { rows, ..Module::named("upstream_keepalive") };

const HERE: Context = Context::UPSTREAM;

fn rows() -> Vec<Row> {
    vec![
        Row::new("keepalive", HERE, Arity::Between(1, 2), "Idle connections kept per worker.", keepalive),
        Row::new("keepalive_requests", HERE, Arity::exactly(1), "Requests of one connection.", |cx| {
            let value = cx.number(0)?;
            cx.once(&mut part(cx).requests, value)
        }),
        Row::new("keepalive_time", HERE, Arity::exactly(1), "How long a connection may live.", |cx| {
            let value = cx.time_ms(0)?;
            cx.once(&mut part(cx).time, value)
        }),
        Row::new("keepalive_timeout", HERE, Arity::exactly(1), "How long a connection may be idle.", |cx| {
            let value = cx.time_ms(0)?;
            cx.once(&mut part(cx).timeout, value)
        }),
    ]
}

fn keepalive(cx: &mut Cx<'_>) -> Result<(), Error> {
    let limit = cx.number(0).map_err(|_| cx.error_at(0, format!("invalid value \"{}\" in \"keepalive\" directive", cx.text(0))))?;
    let local = match cx.args().len() {
        1 => false,
        _ if cx.arg(1) == b"local" => true,
        _ => return Err(cx.invalid_parameter(1)),
    };
    cx.frame.server.get::<CustomBalancer<http::Request>>().is_second = true;
    cx.once(&mut part(cx).keepalive, (usize::try_from(limit).unwrap_or(usize::MAX), local))
}
