//! Functions of the API that are not there yet: they check their phase as they will, and then say so.

use lua::{Cx, Group, Phase, PhaseSet, Raise, Row, Stack};

const RAW: PhaseSet =
    PhaseSet::of(Phase::REWRITE).with(Phase::SERVER_REWRITE).with(Phase::ACCESS).with(Phase::PRECONTENT).with(Phase::CONTENT);

/// `ngx.req.socket`, `ngx.re`.
pub fn group() -> Group {
    Group {
        name: "ngx functions to come",
        rows: vec![
            Row::calls("req_socket", RAW, |cx, stack| refuse(cx, stack, "ngx.req.socket")),
            Row::calls("re_match", PhaseSet::EVERYWHERE, |cx, stack| refuse(cx, stack, "ngx.re.match")),
            Row::calls("re_find", PhaseSet::EVERYWHERE, |cx, stack| refuse(cx, stack, "ngx.re.find")),
            Row::calls("re_gmatch", PhaseSet::EVERYWHERE, |cx, stack| refuse(cx, stack, "ngx.re.gmatch")),
            Row::calls("re_sub", PhaseSet::EVERYWHERE, |cx, stack| refuse(cx, stack, "ngx.re.sub")),
            Row::calls("re_gsub", PhaseSet::EVERYWHERE, |cx, stack| refuse(cx, stack, "ngx.re.gsub")),
        ],
        glue: "local b = ... local R, ngx = b.R, b.ngx \
               ngx.req = ngx.req or {} ngx.req.socket = ngx.req.socket or R.req_socket \
               ngx.re = { match = R.re_match, find = R.re_find, gmatch = R.re_gmatch, sub = R.re_sub, gsub = R.re_gsub }",
    }
}

fn refuse(_: &Cx, _: &mut Stack<'_>, name: &str) -> Result<usize, Raise> {
    Err(Raise::new(format!("{name} is not supported yet")))
}
