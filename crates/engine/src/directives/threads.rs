//! `thread_pool`, and the names that `aio threads=` asks for.

use base::text::parse_number;
use conf::context::{Arity, Context};
use conf::row::{Cx, Row};
use conf::scope::Scope;
use conf::tree::Error;
use session::thread_pools::Pools;

pub(super) fn rows() -> Vec<Row> {
    vec![Row::new("thread_pool", Context::MAIN, Arity::Between(2, 3), "Threads for reading files.", thread_pool)]
}

/// Checks that every pool that is used exists; `default` always does.
///
/// # Errors
/// `unknown thread pool "x"`.
pub fn check(global: &Scope) -> Result<(), Error> {
    let pools = global.get::<Pools>();
    let known = |name: &[u8]| name == b"default" || pools.defined.iter().any(|(other, _)| other == name);
    match pools.referenced.iter().find(|(name, _)| !known(name)) {
        Some((name, place)) => {
            let mut error = place.clone();
            error.message = format!("unknown thread pool \"{}\"", String::from_utf8_lossy(name));
            Err(error)
        }
        None => Ok(()),
    }
}

fn thread_pool(cx: &mut Cx<'_>) -> Result<(), Error> {
    let name = cx.arg(0).to_vec();
    if cx.global::<Pools>().defined.iter().any(|(other, _)| *other == name) {
        return Err(cx.error(format!("duplicate thread pool \"{}\"", cx.text(0))));
    }
    let mut threads = None;
    for i in 1..cx.args().len() {
        if let Some(value) = cx.arg(i).strip_prefix(b"threads=") {
            let number = parse_number(value).filter(|n| *n > 0);
            threads = Some(number.ok_or_else(|| cx.error_at(i, format!("invalid threads value \"{}\"", cx.text(i))))?);
        } else if let Some(value) = cx.arg(i).strip_prefix(b"max_queue=") {
            parse_number(value).ok_or_else(|| cx.error_at(i, format!("invalid max_queue value \"{}\"", cx.text(i))))?;
        }
    }
    let threads = threads.ok_or_else(|| cx.error(format!("\"thread_pool\" must have \"threads\" parameter, \"{}\"", cx.text(0))))?;
    cx.global::<Pools>().defined.push((name, threads));
    Ok(())
}
