//! Finds the start and end of commands, and their quoted strings.

/// Before a command.
pub(super) const OPEN: &[u8] = b"<!--#";
/// Behind it.
pub(super) const CLOSE: &[u8] = b"-->";

/// What stands between a command's marks.
pub(super) fn inner(command: &[u8]) -> &[u8] {
    let inner = command.strip_prefix(OPEN).unwrap_or(command);
    inner.strip_suffix(CLOSE).unwrap_or(inner)
}

/// Where the quote that is not escaped stands.
pub(super) fn end_of_quoted(text: &[u8], quote: u8) -> Option<usize> {
    let mut at = 0;
    loop {
        at += memchr::memchr2(quote, b'\\', text.get(at..)?)?;
        if text.get(at) == Some(&quote) {
            return Some(at);
        }
        at += 2;
    }
}
