//! Early data that a server does not take, and must pass over (RFC 8446, 4.2.10).
//!
//! rustls tries to decrypt such records until one can be, but leaves them where they are while it waits for more. It would try them
//! again each time, and count them each time against the most that it passes over.

/// The header of a record.
const HEADER: usize = 5;

/// The tag behind what is encrypted.
const TAG: usize = 16;

/// How many bytes tell at most that a record was not decrypted: aws-lc clears what is not authentic, and no message begins so.
const CLEARED: usize = 16;

/// The length of the records at the start of `bytes`, all of which rustls has looked at, that could not be decrypted.
pub(crate) fn length(mut bytes: &[u8]) -> usize {
    let mut passed = 0;
    while let [23, 3, _, high, low, rest @ ..] = bytes {
        let length = usize::from(u16::from_be_bytes([*high, *low]));
        let Some((payload, behind)) = rest.split_at_checked(length) else { break };
        let mut inside = payload.iter().take(length.saturating_sub(TAG).min(CLEARED)).peekable();
        if inside.peek().is_none() || inside.any(|byte| *byte != 0) {
            break;
        }
        passed += HEADER + length;
        bytes = behind;
    }
    passed
}
