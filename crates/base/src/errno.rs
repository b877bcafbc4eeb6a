//! Operating system errors as nginx logs them: `(2: No such file or directory)`.

use crate::log::Level;
use std::borrow::Cow;
use std::io;
use std::sync::OnceLock;

/// Linux has no greater number.
const KNOWN: usize = 134;

/// Texts that were asked for.
static TEXTS: [OnceLock<String>; KNOWN] = [const { OnceLock::new() }; KNOWN];

/// The system's own text for an error number, without Rust's `(os error N)` suffix.
pub fn strerror(errno: i32) -> Cow<'static, str> {
    match usize::try_from(errno).ok().and_then(|number| TEXTS.get(number)) {
        Some(text) => Cow::Borrowed(text.get_or_init(|| look_up(errno))),
        None => Cow::Owned(look_up(errno)),
    }
}

fn look_up(errno: i32) -> String {
    let mut text = io::Error::from_raw_os_error(errno).to_string();
    text.truncate(text.rfind(" (os error").unwrap_or(text.len()));
    text
}

/// `(NUMBER: text)`, the form in which nginx appends an error to a log line.
pub fn describe(error: &io::Error) -> String {
    match error.raw_os_error() {
        Some(number) => format!("({number}: {})", strerror(number)),
        None => format!("({error})"),
    }
}

/// How grave nginx takes an error of a connection that it made (`ngx_connection_error`): what lies with the peer or the network is
/// an error, anything else an alert.
#[must_use]
pub fn severity(error: &io::Error) -> Level {
    use io::ErrorKind as Kind;
    /// "Host is down", which has no kind.
    const EHOSTDOWN: i32 = 112;
    match error.kind() {
        Kind::ConnectionRefused | Kind::ConnectionReset | Kind::NotConnected | Kind::BrokenPipe | Kind::TimedOut => Level::Error,
        Kind::NetworkDown | Kind::NetworkUnreachable | Kind::HostUnreachable => Level::Error,
        _ if error.raw_os_error() == Some(EHOSTDOWN) => Level::Error,
        _ => Level::Alert,
    }
}

/// Whether the kernel refused a connection before anything left the machine.
#[must_use]
pub fn is_local(error: &io::Error) -> bool {
    use io::ErrorKind as Kind;
    !matches!(error.kind(), Kind::ConnectionRefused | Kind::ConnectionReset | Kind::TimedOut | Kind::HostUnreachable | Kind::BrokenPipe)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text_is_the_systems() {
        assert_eq!(strerror(2), "No such file or directory");
        assert_eq!(describe(&io::Error::from_raw_os_error(111)), "(111: Connection refused)");
    }

    #[test]
    fn what_lies_with_others_is_no_alert() {
        for number in [32, 100, 101, 104, 107, 110, 111, 112, 113] {
            assert_eq!(severity(&io::Error::from_raw_os_error(number)), Level::Error, "{number}");
        }
        for number in [1, 24, 98, 99] {
            assert_eq!(severity(&io::Error::from_raw_os_error(number)), Level::Alert, "{number}");
        }
    }
}
