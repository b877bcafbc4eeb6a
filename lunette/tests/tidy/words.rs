//! Words that must not stand in what ships: panics on the request path, and code in comments.

use crate::report;
use crate::source::all;

const PANICS: [&str; 6] = [".unwrap()", ".expect(", "panic!(", "todo!(", "unimplemented!(", "dbg!("];

#[test]
fn nothing_that_ships_panics_on_bad_input() {
    let mut findings = Vec::new();
    for source in all() {
        for (number, line) in source.shipped() {
            let code = line.split("//").next().unwrap_or_default();
            if PANICS.iter().any(|word| code.contains(word)) {
                findings.push(source.at(number, line.trim()));
            }
        }
    }
    report("panics", &findings);
}

#[test]
fn comments_are_prose() {
    let mut findings = Vec::new();
    for source in all() {
        for (number, line) in source.text.lines().enumerate() {
            let Some(comment) = line.trim_start().strip_prefix("// ") else { continue };
            let statement = comment.ends_with(';') && ["let ", "use ", "return ", "if ", "self."].iter().any(|w| comment.starts_with(w));
            let block = comment.ends_with('{') && ["fn ", "pub ", "if ", "for ", "match ", "impl "].iter().any(|w| comment.starts_with(w));
            if statement || block || (comment.ends_with(");") && !comment.contains(' ')) {
                findings.push(source.at(number + 1, comment));
            }
        }
    }
    report("code in comments", &findings);
}
