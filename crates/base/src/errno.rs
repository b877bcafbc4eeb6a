//! Operating system errors in the words that nginx's log uses: `(2: No such file or directory)`.

use std::io;

/// The system's own text for an error number, without Rust's `(os error N)` suffix.
pub fn strerror(errno: i32) -> String {
    let text = io::Error::from_raw_os_error(errno).to_string();
    match text.rfind(" (os error") {
        Some(end) => text[..end].to_owned(),
        None => text,
    }
}

/// `(NUMBER: text)`, the form in which nginx appends an error to a log line.
pub fn describe(error: &io::Error) -> String {
    match error.raw_os_error() {
        Some(number) => format!("({number}: {})", strerror(number)),
        None => format!("({error})"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text_is_the_systems() {
        assert_eq!(strerror(2), "No such file or directory");
        assert_eq!(describe(&io::Error::from_raw_os_error(111)), "(111: Connection refused)");
    }
}
