//! Functions of the API that are not there yet: they check their phase as they will, and then say so.

use lua::{Cx, Group, PhaseSet, Raise, Row, Stack, YIELDABLE};

/// `ngx.run_worker_thread`.
pub fn group() -> Group {
    Group {
        name: "ngx functions to come",
        rows: vec![
            Row::calls("worker_thread", YIELDABLE, |cx, stack| refuse(cx, stack, "ngx.run_worker_thread")),
        ],
        glue: "local b = ... local R, ngx = b.R, b.ngx \
               ngx.run_worker_thread = ngx.run_worker_thread or R.worker_thread",
    }
}

fn refuse(_: &Cx, _: &mut Stack<'_>, name: &str) -> Result<usize, Raise> {
    Err(Raise::new(format!("{name} is not supported yet")))
}
