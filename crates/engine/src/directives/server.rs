//! Server-level values that apply before a location is known: limits on a request's head.

use super::slots::{SERVERS, server};
use conf::context::Arity;
use conf::row::{Cx, Row};
use conf::tree::Error;
use http::core::ServerCore;

pub(super) fn rows() -> Vec<Row> {
    let one = Arity::exactly(1);
    vec![
        server(
            "client_header_timeout",
            one,
            "Longest time for a request's head.",
            |cx, i| cx.time_ms(i),
            |core| &mut core.client_header_timeout,
        ),
        server(
            "client_header_buffer_size",
            one,
            "First buffer for a request's head.",
            |cx, i| cx.size(i),
            |core| &mut core.client_header_buffer_size,
        ),
        Row::new(
            "large_client_header_buffers",
            SERVERS,
            Arity::exactly(2),
            "Number and size of the buffers for long lines of a head.",
            large_buffers,
        ),
        server("max_headers", one, "Most header lines of a request.", |cx, i| cx.number(i), |core| &mut core.max_headers),
        server(
            "ignore_invalid_headers",
            Arity::Flag,
            "Drops header lines with odd names.",
            |cx, i| cx.flag(i),
            |core| &mut core.ignore_invalid_headers,
        ),
        server(
            "underscores_in_headers",
            Arity::Flag,
            "Names of header lines may have underscores.",
            |cx, i| cx.flag(i),
            |core| &mut core.underscores_in_headers,
        ),
        server("merge_slashes", Arity::Flag, "Takes several slashes in a URI for one.", |cx, i| cx.flag(i), |core| &mut core.merge_slashes),
    ]
}

fn large_buffers(cx: &mut Cx<'_>) -> Result<(), Error> {
    let number = base::text::parse_number(cx.arg(0)).filter(|n| *n > 0).ok_or_else(|| cx.invalid_value(0))?;
    let size = base::text::parse_size(cx.arg(1), false).filter(|n| *n > 0).ok_or_else(|| cx.invalid_value(1))?;
    cx.once(&mut cx.server::<ServerCore>().large_client_header_buffers, (number, size))
}
