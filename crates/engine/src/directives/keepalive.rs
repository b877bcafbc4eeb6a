//! Connection lifetime: `keepalive_*`, `send_timeout`, `lingering_*`, `reset_timedout_connection`.

use super::slots::choice;
use conf::context::{Arity, Context};
use conf::row::{self, Cx, Row};
use conf::tree::Error;
use http::core::{Core, Lingering};

const ALL: Context = Context::HTTP_ALL;

pub(super) fn rows() -> Vec<Row> {
    vec![
        Row::new(
            "keepalive_timeout",
            ALL,
            Arity::Between(1, 2),
            "How long an idle connection stays open, and what Keep-Alive says.",
            timeout,
        ),
        row::number("keepalive_requests", ALL, "Most requests on one connection.", |core: &mut Core| &mut core.keepalive_requests),
        row::time_ms("keepalive_time", ALL, "Longest life of a connection.", |core: &mut Core| &mut core.keepalive_time),
        row::time_ms("keepalive_min_timeout", ALL, "How long an idle connection is safe from being closed early.", |core: &mut Core| {
            &mut core.keepalive_min_timeout
        }),
        Row::new("keepalive_disable", ALL, Arity::Between(1, 2), "Old browsers whose connections are not kept.", disable),
        row::time_ms("send_timeout", ALL, "Longest pause between two writes to the client.", |core: &mut Core| &mut core.send_timeout),
        row::flag("reset_timedout_connection", ALL, "Resets connections that time out.", |core: &mut Core| {
            &mut core.reset_timedout_connection
        }),
        choice(
            "lingering_close",
            "Reads on before closing, so that the client sees the response.",
            &[("off", Lingering::Off), ("on", Lingering::On), ("always", Lingering::Always)],
            |core| &mut core.lingering_close,
        ),
        row::time_ms("lingering_time", ALL, "How long is read on at most.", |core: &mut Core| &mut core.lingering_time),
        row::time_ms("lingering_timeout", ALL, "How long is waited for more while reading on.", |core: &mut Core| {
            &mut core.lingering_timeout
        }),
    ]
}

fn timeout(cx: &mut Cx<'_>) -> Result<(), Error> {
    let idle = cx.time_ms(0)?;
    cx.once(&mut cx.location::<Core>().keepalive_timeout, idle)?;
    let shown = if cx.args().len() == 2 { cx.time_sec(1)? } else { 0 };
    // An outer level's header does not belong to this level's timeout.
    cx.location::<Core>().keepalive_header = Some(shown);
    Ok(())
}

fn disable(cx: &mut Cx<'_>) -> Result<(), Error> {
    let mut disabled = cx.location::<Core>().keepalive_disable.unwrap_or_default();
    for i in 0..cx.args().len() {
        match cx.choice(i, &[("none", None), ("msie6", Some(false)), ("safari", Some(true))])? {
            None => {}
            Some(safari) => {
                let browser = if safari { &mut disabled.safari } else { &mut disabled.msie6 };
                if std::mem::replace(browser, true) {
                    cx.warn_of_duplicate(i);
                }
            }
        }
    }
    cx.location::<Core>().keepalive_disable = Some(disabled);
    Ok(())
}
