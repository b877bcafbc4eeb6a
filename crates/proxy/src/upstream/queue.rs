//! `queue` in `upstream`.

use crate::upstream::part;
use conf::context::{Arity, Context};
use conf::row::{Cx, Row};
use conf::tree::Error;
use http::module::Module;

/// `queue`
pub const MODULE: Module = Module { rows, ..Module::named("upstream_queue") };

const TIMEOUT_MS: u64 = 60_000;

fn rows() -> Vec<Row> {
    vec![Row::new("queue", Context::UPSTREAM, Arity::Between(1, 2), "Requests that wait for a server.", queue)]
}

fn queue(cx: &mut Cx<'_>) -> Result<(), Error> {
    let limit = usize::try_from(cx.number(0)?).map_err(|_| cx.invalid_value(0))?;
    let timeout = match cx.args().len() {
        1 => TIMEOUT_MS,
        _ => cx.arg(1).strip_prefix(b"timeout=").and_then(base::text::parse_time_ms).ok_or_else(|| cx.invalid_parameter(1))?,
    };
    cx.once(&mut part(cx).queue, (limit, timeout))
}
