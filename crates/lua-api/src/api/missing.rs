//! Functions of the API that are not there yet: they check their phase as they will, and then say so.

use lua::{Cx, Group, PhaseSet, Raise, Row, Stack, YIELDABLE};

/// `ngx.run_worker_thread`, `ngx.re`.
pub fn group() -> Group {
    Group {
        name: "ngx functions to come",
        rows: vec![
            Row::calls("worker_thread", YIELDABLE, |cx, stack| refuse(cx, stack, "ngx.run_worker_thread")),
            Row::calls("re_match", PhaseSet::EVERYWHERE, |cx, stack| refuse(cx, stack, "ngx.re.match")),
            Row::calls("re_find", PhaseSet::EVERYWHERE, |cx, stack| refuse(cx, stack, "ngx.re.find")),
            Row::calls("re_gmatch", PhaseSet::EVERYWHERE, |cx, stack| refuse(cx, stack, "ngx.re.gmatch")),
            Row::calls("re_sub", PhaseSet::EVERYWHERE, |cx, stack| refuse(cx, stack, "ngx.re.sub")),
            Row::calls("re_gsub", PhaseSet::EVERYWHERE, |cx, stack| refuse(cx, stack, "ngx.re.gsub")),
        ],
        glue: "local b = ... local R, ngx = b.R, b.ngx \
               ngx.run_worker_thread = ngx.run_worker_thread or R.worker_thread \
               ngx.re = { match = R.re_match, find = R.re_find, gmatch = R.re_gmatch, sub = R.re_sub, gsub = R.re_gsub }",
    }
}

fn refuse(_: &Cx, _: &mut Stack<'_>, name: &str) -> Result<usize, Raise> {
    Err(Raise::new(format!("{name} is not supported yet")))
}
