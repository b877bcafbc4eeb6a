//! Early hints: an upstream's 103 on its way to the client.

use crate::channel::link::is_foreign;
use crate::record::Scratch;
use crate::route::Route;
use base::log::Level;
use http::{Headers, Request};
use wire::known::Known;

const EARLY_HINTS: u16 = 103;

/// Passes an informational head, `length` bytes of the input, on to the client where the location wants that. Answers how many bytes it
/// had; `before` is how many earlier ones had: together they may be as large as a head.
pub fn pass(request: &Request, route: &Route, scratch: &Scratch, length: usize, before: usize) -> usize {
    if scratch.parser.line.code != EARLY_HINTS || !route.dialect.has_hints() || !request.takes_early_hints() {
        return 0;
    }
    if before + length > route.plan.buffer_size {
        request.log(Level::Info, b"upstream sent too big early hints");
        return length;
    }
    let mut headers = Headers::default();
    for line in &scratch.parser.headers {
        let (name, value) = (line.name.of(&scratch.input), line.value.of(&scratch.input));
        if !route.plan.hidden.contains(line.known, name) && !is_foreign(name) && line.known != Known::ContentLength {
            headers.push(name, value);
        }
    }
    if !headers.is_empty() {
        request.wire.write_interim(request, EARLY_HINTS, &headers);
    }
    length
}
