//! Frames one after the other, up to an event: the same for both ends of a connection.

use super::error::Failure;

/// How far a step came: bytes that are done with, and what happened; `None` when it needs more input.
pub(super) type Step<E> = Result<Option<(usize, Option<E>)>, Failure>;

/// Takes steps until something has happened or more input is needed: how much of the input is done with, and what happened.
#[inline]
pub(super) fn until_event<'i, E>(input: &'i [u8], mut step: impl FnMut(&'i [u8]) -> Step<E>) -> Result<(usize, Option<E>), Failure> {
    let mut used = 0;
    loop {
        match step(input.get(used..).unwrap_or(&[]))? {
            None => return Ok((used, None)),
            Some((len, event)) => {
                used += len;
                if event.is_some() {
                    return Ok((used, event));
                }
            }
        }
    }
}
