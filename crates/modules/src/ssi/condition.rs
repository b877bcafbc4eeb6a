//! Conditions on pages.

use super::Fault;
use super::text::evaluate;
use super::values::{set_value, shared};
use http::Request;
use session::{Cache, Regex, Session, Variables, variable};
use std::rc::Rc;

/// `$a`, `$a = text`, `$a != text`, `$a = /re/`, `$a != /re/`.
pub(super) fn holds(request: &Request, text: &[u8]) -> Result<bool, Fault> {
    let invalid = || Fault(format!("invalid expression in \"{}\"", String::from_utf8_lossy(text)));
    let trimmed = text.trim_ascii();
    let operator = memchr::memchr2(b'=', b'!', trimmed);
    let Some(at) = operator else {
        return Ok(!evaluate(request, trimmed)?.is_empty());
    };
    let (left, rest) = trimmed.split_at(at);
    let negate = rest.first() == Some(&b'!');
    let right = rest.strip_prefix(b"!=").or_else(|| rest.strip_prefix(b"=")).ok_or_else(invalid)?.trim_ascii();
    let left = evaluate(request, left.trim_ascii())?;
    let same = match right.strip_prefix(b"/") {
        Some(pattern) => matches(request, pattern.strip_suffix(b"/").ok_or_else(invalid)?, &left)?,
        None => {
            let quoted = right.strip_prefix(b"\"").and_then(|r| r.strip_suffix(b"\""));
            let quoted = quoted.or_else(|| right.strip_prefix(b"'").and_then(|r| r.strip_suffix(b"'")));
            evaluate(request, quoted.unwrap_or(right))? == left
        }
    };
    Ok(same != negate)
}

/// A session of its own for a pattern on a page: its groups must not touch the variables of the configuration.
struct Scratch(Cache<Scratch>);

impl Session for Scratch {
    fn cache(&self) -> &Cache<Scratch> {
        &self.0
    }

    fn variable_cycle(&self, _: &str) {}
}

fn matches(request: &Request, pattern: &[u8], subject: &[u8]) -> Result<bool, Fault> {
    let mut variables = Variables::default();
    let regex = Regex::new(pattern, false, &mut variables).map_err(Fault)?;
    variables.finish().map_err(|unknown| Fault(unknown.to_string()))?;
    let scratch = Scratch(Cache::new(Rc::new(variables)));
    if !regex.exec(&scratch, subject) {
        return Ok(false);
    }
    let groups = (0..=9).map(|n| scratch.cache().captures().get(n).map(<[u8]>::to_vec)).collect();
    shared(request).captures.replace(groups);
    for name in group_names(pattern) {
        let mut value = Vec::new();
        if variable::get_by_name(&scratch, &name, &mut value) {
            set_value(request, name.as_bytes(), value);
        }
    }
    Ok(true)
}

/// Names of groups, `(?<name>` or `(?P<name>`.
fn group_names(pattern: &[u8]) -> Vec<String> {
    let text = String::from_utf8_lossy(pattern);
    let starts = text.split("(?").skip(1);
    let named = starts.filter_map(|rest| rest.strip_prefix("P<").or_else(|| rest.strip_prefix('<'))?.split_once('>'));
    let names = named.map(|(name, _)| name);
    names.filter(|name| name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')).map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_groups() {
        assert_eq!(group_names(b"(?<a>x)(?P<b_1>y)(?<=z)(?:w)(?<!v)"), ["a", "b_1"]);
    }
}
