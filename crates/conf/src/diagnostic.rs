//! Errors for people: nginx's line first, so that tools match it, then the source line and a hint.

use crate::tree::{Error, Files};

/// Source lines are shown up to this many bytes.
const SHOWN: usize = 160;

/// What goes to the error log: `MESSAGE in FILE:LINE`, or `MESSAGE in command line`.
#[must_use]
pub fn log_line(error: &Error, files: &Files) -> String {
    match files.get(error.span.file) {
        None => error.message.clone(),
        Some(file) if file.command_line => format!("{} in command line", error.message),
        Some(file) => {
            let name = String::from_utf8_lossy(&file.name);
            format!("{} in {name}:{}", error.message, error.line)
        }
    }
}

/// What follows on a terminal: the source line, a caret under the column, and the nearest name;
/// empty when there is no place to show.
#[must_use]
pub fn excerpt(error: &Error, files: &Files) -> String {
    let mut out = String::new();
    let line = usize::try_from(error.span.line).unwrap_or(usize::MAX).checked_sub(1);
    let source = files.get(error.span.file).and_then(|file| file.text.split(|&byte| byte == b'\n').nth(line?));
    if let Some(source) = source {
        let number = error.span.line.to_string();
        let column = error.span.column.saturating_sub(1) as usize;
        // A caret far to the right says nothing: show the part of a long line that it is about.
        let from = if column < SHOWN { 0 } else { column };
        let shown = source.get(from..(from + SHOWN).min(source.len())).unwrap_or(&[]);
        let before = shown.get(..(column - from).min(shown.len())).unwrap_or(&[]);
        let margin = " ".repeat(number.len());
        let pad: String = printable(before).chars().map(|c| if c == '\t' { c } else { ' ' }).collect();
        out.push_str(&format!("{number} | {}\n{margin} | {pad}^\n", printable(shown)));
    }
    if let Some(name) = &error.suggestion {
        out.push_str(&format!("did you mean \"{name}\"?\n"));
    }
    for note in &error.notes {
        out.push_str(note);
        out.push('\n');
    }
    out
}

/// Both, for a terminal: `nginx: [emerg] MESSAGE in FILE:LINE` and the excerpt.
#[must_use]
pub fn render(error: &Error, files: &Files) -> String {
    format!("nginx: [emerg] {}\n{}", log_line(error, files), excerpt(error, files))
}

/// A configuration may hold anything; a terminal is only shown what it cannot obey.
fn printable(text: &[u8]) -> String {
    let text = String::from_utf8_lossy(text);
    let plain = |c: char| if c.is_control() && c != '\t' { '?' } else { c };
    text.trim_end_matches('\r').chars().map(plain).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tree::{File, Span};

    fn files() -> Files {
        let mut files = Files::default();
        let text = format!("http {{\n\tlisten_ 80;\n\x1b[31m\n{}", "x".repeat(500));
        files.push(File { name: b"/etc/n.conf".to_vec(), text: text.into(), command_line: false });
        files.push(File { name: vec![], text: b"daemon".to_vec(), command_line: true });
        files
    }

    #[test]
    fn the_whole_picture() {
        let span = Span { file: 0, line: 2, column: 2 };
        let mut error = Error::new("unknown directive \"listen_\"", span);
        error.suggestion = Some("listen".into());
        assert_eq!(
            render(&error, &files()),
            "nginx: [emerg] unknown directive \"listen_\" in /etc/n.conf:2\n\
             2 | \tlisten_ 80;\n  | \t^\ndid you mean \"listen\"?\n"
        );
    }

    #[test]
    fn odd_places() {
        let at = |file, line, column| Error::new("m", Span { file, line, column });
        assert_eq!(log_line(&at(1, 1, 1), &files()), "m in command line");
        assert_eq!(render(&at(9, 1, 1), &files()), "nginx: [emerg] m\n");
        assert_eq!(excerpt(&at(0, 99, 1), &files()), "");
        assert_eq!(excerpt(&at(0, 3, 1), &files()), "3 | ?[31m\n  | ^\n");
        assert_eq!(excerpt(&at(0, 2, 900), &files()), "2 | \n  | ^\n");
        let long = excerpt(&at(0, 4, 400), &files());
        assert!(long.starts_with("4 | xxx") && long.ends_with(" | ^\n") && long.len() < 2 * SHOWN);
    }
}
