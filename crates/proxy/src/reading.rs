//! The head of an answer as far as it has come, and the beginning of a body that came with it.

use crate::dialect::{Answer, Framing, Head, Question};
use crate::exchange::Exchange;
use std::borrow::Cow;
use wire::chunked::Step;

/// Parses what is here of a head, record after record where the answer comes in records.
///
/// # Errors
/// The line for the error log.
pub fn read_on(exchange: &mut Exchange) -> Result<Head, Vec<u8>> {
    let (dialect, scratch) = (&exchange.route.dialect, &mut *exchange.scratch);
    loop {
        let bare = dialect.unwrap(&exchange.request, &mut scratch.unwrapped, &mut scratch.input)?;
        let limit = exchange.route.plan.buffer_size;
        let asked = Question { encoded: &exchange.encoded, written: &scratch.out, limit, unwrapped: &scratch.unwrapped };
        let input = scratch.input.get(..bare).unwrap_or_default();
        match dialect.parse(&mut scratch.parser, input, &asked)? {
            Head::Partial if bare < scratch.input.len() => {}
            head => return Ok(head),
        }
    }
}

/// The fault in the first bytes of a body that came with its head: while nothing has been passed on, it is a 502.
pub fn broken_start(answer: &Answer, input: &[u8]) -> Option<Cow<'static, [u8]>> {
    let mut probe = match &answer.body {
        Framing::Chunked(decoder) => Framing::Chunked(decoder.clone()),
        Framing::Replies(replies) => Framing::Replies(replies.clone()),
        _ => return None,
    };
    let mut rest = input.get(answer.length..)?;
    loop {
        match probe.next(rest) {
            Ok(Step::Data { end, .. }) => rest = rest.get(end..)?,
            Ok(Step::Partial | Step::Done { .. }) => return None,
            Err(line) => return Some(line),
        }
    }
}
