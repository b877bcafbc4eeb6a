//! Whether an answer is the one that a page shows.

use crate::rig::Response;

/// The first line is the status (0: closed without an answer), then headers, then a blank line and the body.
///
/// # Errors
/// What differs.
pub(crate) fn compare(expected: &str, answer: &Response) -> Result<(), String> {
    let (head, body) = match expected.split_once("\n\n") {
        Some((head, body)) => (head, Some(body)),
        None => (expected.trim_end_matches('\n'), None),
    };
    let mut lines = head.lines();
    let status = lines.next().unwrap_or_default();
    if status.split(' ').next() != Some(&answer.status.to_string()) {
        return Err(format!("status {}, expected {status}\n{}", answer.status, answer.text()));
    }
    for line in lines {
        if let Some(name) = line.strip_prefix('!') {
            if let Some(value) = answer.header(name.trim()) {
                return Err(format!("there is a header {name}: {value}"));
            }
            continue;
        }
        let (name, value) = line.split_once(':').ok_or_else(|| format!("not a header: {line}"))?;
        let all: Vec<_> = answer.headers.iter().filter(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, v)| v.as_str()).collect();
        if !all.contains(&value.trim()) {
            return Err(format!("header {name} is {all:?}, expected {value:?}"));
        }
    }
    let Some(body) = body else { return Ok(()) };
    let seen = answer.text().replace("\r\n", "\n");
    if seen.strip_suffix('\n').unwrap_or(&seen) == body.strip_suffix('\n').unwrap_or(body) {
        Ok(())
    } else {
        Err(format!("body {seen:?}, expected {body:?}"))
    }
}
