//! Directives that are validated and have no effect, because what they tune does not exist here. The manual says so for each.

use super::slots::{SERVERS, reject_duplicate};
use base::text;
use conf::context::{Arity, Context};
use conf::row::{Cx, Row};
use conf::tree::Error;

type Check = fn(&Cx<'_>) -> Result<(), Error>;

/// nginx's bounds on a pool: `NGX_MIN_POOL_SIZE` and `NGX_POOL_ALIGNMENT`.
const SMALLEST_POOL: u64 = 112;
const POOL_ALIGNMENT: u64 = 16;

fn number(cx: &Cx<'_>) -> Result<(), Error> {
    cx.number(0).map(drop)
}

fn size(cx: &Cx<'_>) -> Result<(), Error> {
    cx.size(0).map(drop)
}

fn offset(cx: &Cx<'_>) -> Result<(), Error> {
    cx.offset(0).map(drop)
}

fn flag(cx: &Cx<'_>) -> Result<(), Error> {
    cx.flag(0).map(drop)
}

fn pool(cx: &Cx<'_>) -> Result<(), Error> {
    let size = cx.size(0)?;
    if size < SMALLEST_POOL {
        return Err(cx.error_at(0, format!("the pool size must be no less than {SMALLEST_POOL}")));
    }
    if size % POOL_ALIGNMENT != 0 {
        return Err(cx.error_at(0, format!("the pool size must be a multiple of {POOL_ALIGNMENT}")));
    }
    Ok(())
}

fn buffers(cx: &Cx<'_>) -> Result<(), Error> {
    text::parse_number(cx.arg(0)).filter(|n| *n > 0).ok_or_else(|| cx.invalid_value(0))?;
    text::parse_size(cx.arg(1), false).filter(|n| *n > 0).ok_or_else(|| cx.invalid_value(1)).map(drop)
}

fn send_lowat(cx: &Cx<'_>) -> Result<(), Error> {
    let low = cx.size(0)?;
    if low > 0 {
        cx.warn("\"send_lowat\" is not supported, ignored");
    }
    Ok(())
}

pub(super) fn rows() -> Vec<Row> {
    let (both, all) = (Context::HTTP | Context::STREAM, Context::HTTP_ALL);
    let hash = "Size of a hash table in nginx; no effect.";
    let pools = "Size of a memory pool in nginx; no effect.";
    let table: [(&'static str, Context, &'static str, Check); 14] = [
        ("variables_hash_max_size", both, hash, number),
        ("variables_hash_bucket_size", both, hash, number),
        ("server_names_hash_max_size", both, hash, number),
        ("server_names_hash_bucket_size", both, hash, number),
        ("types_hash_max_size", all, hash, number),
        ("types_hash_bucket_size", all, hash, number),
        ("connection_pool_size", SERVERS, pools, pool),
        ("request_pool_size", SERVERS, pools, pool),
        ("output_buffers", all, "Buffers of nginx for reading files; no effect.", buffers),
        ("read_ahead", all, "Read-ahead of the kernel; no effect.", size),
        ("directio_alignment", all, "Alignment for directio; no effect.", offset),
        ("aio_write", all, "Writes temporary files in threads; no effect.", flag),
        ("send_lowat", all, "Send low-water mark; no effect on Linux.", send_lowat),
        ("open_file_cache_events", all, "Kernel events for open files; no effect on Linux.", flag),
    ];
    table
        .into_iter()
        .map(|(name, contexts, doc, check)| {
            let arity = if name == "output_buffers" { Arity::exactly(2) } else { Arity::exactly(1) };
            Row::new(name, contexts, arity, doc, move |cx| {
                check(cx)?;
                reject_duplicate(cx)
            })
        })
        .collect()
}
