//! A response head while it is read.

use crate::dialect::{Head, RequestContext};
use crate::exchange::Exchange;

/// Parses what is here of a head, record after record where the response comes in records.
///
/// # Errors
/// The line for the error log.
pub fn read_on(exchange: &mut Exchange) -> Result<Head, Vec<u8>> {
    let (dialect, scratch) = (&exchange.route.dialect, &mut *exchange.scratch);
    loop {
        let bare = dialect.unwrap(&exchange.request, &mut scratch.unwrapped, &mut scratch.input)?;
        let limit = exchange.route.plan.buffer_size;
        let context = RequestContext { encoded: &exchange.encoded, written: &scratch.out, limit, unwrapped: &scratch.unwrapped };
        let input = scratch.input.get(scratch.unwrapped.start..bare).unwrap_or_default();
        match dialect.parse(&mut scratch.parser, input, &context)? {
            Head::Partial if bare < scratch.input.len() => {}
            head => return Ok(head),
        }
    }
}
