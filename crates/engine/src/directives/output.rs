//! Output: buffering, ranges, validators, `server_tokens`, rates.

use super::slots::{choice, complex};
use conf::context::{Arity, Context};
use conf::row::{self, Cx, Row};
use conf::tree::Error;
use http::Complex;
use http::core::{Core, IfModifiedSince, ServerTokens};
use std::rc::Rc;

const ALL: Context = Context::HTTP_ALL;

pub(super) fn rows() -> Vec<Row> {
    let one = Arity::exactly(1);
    vec![
        row::flag("tcp_nopush", ALL, "Sends head and file in full packets.", |core: &mut Core| &mut core.tcp_nopush),
        row::flag("tcp_nodelay", ALL, "Sends small packets at once.", |core: &mut Core| &mut core.tcp_nodelay),
        row::size("postpone_output", ALL, "Collects this much before it is sent.", |core: &mut Core| &mut core.postpone_output),
        row::flag("chunked_transfer_encoding", ALL, "Answers of unknown length may be chunked.", |core: &mut Core| {
            &mut core.chunked_transfer_encoding
        }),
        Row::new("early_hints", ALL, Arity::AtLeast(1), "Variables of which one must be true for early hints to be passed on.", |cx| {
            let values = (0..cx.args().len()).map(|i| complex(cx, i)).collect::<Result<Vec<_>, _>>()?;
            cx.once(&mut cx.location::<Core>().early_hints, Rc::new(values))
        }),
        row::flag("etag", ALL, "Files get an ETag.", |core: &mut Core| &mut core.etag),
        choice(
            "if_modified_since",
            "How If-Modified-Since is compared.",
            &[("off", IfModifiedSince::Off), ("exact", IfModifiedSince::Exact), ("before", IfModifiedSince::Before)],
            |core| &mut core.if_modified_since,
        ),
        row::number("max_ranges", ALL, "Most ranges of one response; 0 turns ranges off.", |core: &mut Core| &mut core.max_ranges),
        Row::new("server_tokens", ALL, one, "What the Server header and error pages say.", tokens),
        row::flag("msie_padding", ALL, "Pads error pages for old MSIE and Chrome.", |core: &mut Core| &mut core.msie_padding),
        rate("limit_rate", "Bytes a second that one response may take; 0 is unlimited.", |core| &mut core.limit_rate),
        rate("limit_rate_after", "Bytes that leave at full speed first.", |core| &mut core.limit_rate_after),
        row::flag("log_not_found", ALL, "Logs files that are not there.", |core: &mut Core| &mut core.log_not_found),
        row::flag("log_subrequest", ALL, "Subrequests go to the access log.", |core: &mut Core| &mut core.log_subrequest),
    ]
}

/// A row with a size that may hold variables.
fn rate(name: &'static str, doc: &'static str, field: fn(&mut Core) -> &mut Option<Complex>) -> Row {
    Row::new(name, Context::HTTP_IF, Arity::exactly(1), doc, move |cx| {
        let value = complex(cx, 0)?;
        if value.literal().is_some_and(|text| base::text::parse_size(text, false).is_none()) {
            return Err(cx.invalid_value(0));
        }
        cx.once(field(&mut cx.location::<Core>()), value)
    })
}

fn tokens(cx: &mut Cx<'_>) -> Result<(), Error> {
    let tokens = match cx.arg(0) {
        word if word.eq_ignore_ascii_case(b"on") => ServerTokens::On,
        word if word.eq_ignore_ascii_case(b"off") => ServerTokens::Off,
        word if word.eq_ignore_ascii_case(b"build") => ServerTokens::Build,
        _ => return Err(cx.error_at(0, format!("invalid value \"{}\"", cx.text(0)))),
    };
    cx.once(&mut cx.location::<Core>().server_tokens, tokens)
}
