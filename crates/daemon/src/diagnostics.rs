//! Findings of a configuration check, for editors and other programs.

use base::log::Level;
use std::fmt::Write;

/// Where something stands in a configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SourcePosition {
    /// The file.
    pub file: String,
    /// Line, from 1.
    pub line: u32,
    /// Column in bytes, from 1; 0 if only the line is known.
    pub column: u32,
}

/// Something that is wrong or dangerous.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Diagnostic {
    /// How grave it is: `Emerg` where the configuration cannot be used, `Warn` where it can.
    pub level: Level,
    /// What it is. A line of the log, with its place, as nginx writes it.
    pub message: String,
    /// Where, if the message has not said it or an editor wants to go there.
    pub position: Option<SourcePosition>,
}

impl Diagnostic {
    /// A warning, whose text says where it belongs. The configuration can be used, whatever the log calls it.
    pub(crate) fn warning((_, message): &(Level, String)) -> Diagnostic {
        Diagnostic { level: Level::Warn, message: message.clone(), position: None }
    }

    /// Whether the configuration cannot be used.
    pub(crate) fn is_fatal(&self) -> bool {
        self.level < Level::Warn
    }

    /// What it is without the place behind it, and the place.
    fn parts(&self) -> (&str, Option<SourcePosition>) {
        let split = self.message.rsplit_once(" in ").and_then(|(before, behind)| {
            let (file, line) = behind.rsplit_once(':')?;
            Some((before, SourcePosition { file: file.to_owned(), line: line.parse().ok()?, column: 0 }))
        });
        match split {
            Some((before, place)) => (before, Some(self.position.clone().unwrap_or(place))),
            None => (&self.message, self.position.clone()),
        }
    }
}

/// A list of problems as JSON, one a line.
pub(crate) fn json(problems: &[Diagnostic]) -> String {
    let one = |problem: &Diagnostic| {
        let (message, place) = problem.parts();
        let mut out = format!("{{\"level\":{},\"message\":{}", quoted(problem.level.name()), quoted(message));
        if let Some(SourcePosition { file, line, column }) = place {
            // Writing to a text cannot fail.
            let _ = write!(out, ",\"file\":{},\"line\":{line},\"column\":{}", quoted(&file), column.max(1));
        }
        out + "}"
    };
    let lines: Vec<String> = problems.iter().map(one).collect();
    if lines.is_empty() { "[]\n".to_owned() } else { format!("[\n{}\n]\n", lines.join(",\n")) }
}

fn quoted(text: &str) -> String {
    let mut out = String::from("\"");
    for letter in text.chars() {
        match letter {
            '"' | '\\' => out.extend(['\\', letter]),
            letter if letter.is_control() => {
                let _ = write!(out, "\\u{:04x}", u32::from(letter));
            }
            letter => out.push(letter),
        }
    }
    out + "\""
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn problems_become_json() {
        let place = SourcePosition { file: "/a \"b\"".into(), line: 3, column: 7 };
        let problems = [
            Diagnostic { level: Level::Emerg, message: "unknown \"x\" in /a \"b\":3".into(), position: Some(place) },
            Diagnostic { level: Level::Warn, message: "old\n in /c:12".into(), position: None },
            Diagnostic { level: Level::Warn, message: "no \"events\" section in configuration".into(), position: None },
        ];
        let expected = "[\n{\"level\":\"emerg\",\"message\":\"unknown \\\"x\\\"\",\"file\":\"/a \\\"b\\\"\",\"line\":3,\"column\":7},\n\
                        {\"level\":\"warn\",\"message\":\"old\\u000a\",\"file\":\"/c\",\"line\":12,\"column\":1},\n\
                        {\"level\":\"warn\",\"message\":\"no \\\"events\\\" section in configuration\"}\n]\n";
        assert_eq!(json(&problems), expected);
        assert_eq!(json(&[]), "[]\n");
    }
}
