//! Conditions on pages.

use super::CommandError;
use super::text::evaluate;
use super::values::{set_value, shared};
use foldhash::HashMap;
use http::Request;
use session::{Cache, Regex, Session, Variables, variable};
use std::cell::RefCell;
use std::rc::Rc;

/// `$a`, `$a = text`, `$a != text`, `$a = /re/`, `$a != /re/`.
pub(super) fn holds(request: &Request, text: &[u8]) -> Result<bool, CommandError> {
    let invalid = || CommandError(format!("invalid expression in \"{}\"", String::from_utf8_lossy(text)));
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

/// A pattern of a page, compiled.
struct Pattern {
    regex: Regex<Scratch>,
    variables: Rc<Variables<Scratch>>,
    /// Of its groups.
    names: Vec<String>,
}

impl Pattern {
    fn new(text: &[u8]) -> Result<Pattern, CommandError> {
        let mut variables = Variables::default();
        let regex = Regex::new(text, false, &mut variables).map_err(|error| CommandError(error.into()))?;
        variables.finish().map_err(|unknown| CommandError(unknown.to_string()))?;
        Ok(Pattern { regex, variables: Rc::new(variables), names: group_names(text) })
    }
}

/// A worker's patterns: pages come again, and to compile one costs more than all else on a small page.
#[derive(Default)]
struct Patterns(RefCell<HashMap<Vec<u8>, Rc<Pattern>>>);

/// Most patterns that are kept; pages that upstreams make may have any number.
const KEPT: usize = 256;

impl Patterns {
    fn find(&self, text: &[u8]) -> Result<Rc<Pattern>, CommandError> {
        let mut kept = self.0.borrow_mut();
        if let Some(pattern) = kept.get(text) {
            return Ok(Rc::clone(pattern));
        }
        let pattern = Rc::new(Pattern::new(text)?);
        if kept.len() >= KEPT {
            kept.clear();
        }
        kept.insert(text.to_vec(), Rc::clone(&pattern));
        Ok(pattern)
    }
}

fn matches(request: &Request, text: &[u8], subject: &[u8]) -> Result<bool, CommandError> {
    let pattern = request.worker.state::<Patterns>().find(text)?;
    let scratch = Scratch(Cache::new(Rc::clone(&pattern.variables)));
    if !pattern.regex.exec(&scratch, subject) {
        return Ok(false);
    }
    let groups = (0..=9).map(|n| scratch.cache().captures().get(n).map(<[u8]>::to_vec)).collect();
    shared(request).captures.replace(groups);
    for name in &pattern.names {
        let mut value = Vec::new();
        if variable::by_name::get_by_name(&scratch, name, &mut value) {
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

    #[test]
    fn patterns_are_compiled_once_and_kept_up_to_a_number() {
        let patterns = Patterns::default();
        let find = |text: &str| patterns.find(text.as_bytes()).ok();
        let (first, again) = (find("^a").unwrap(), find("^a").unwrap());
        assert!(Rc::ptr_eq(&first, &again) && find("(").is_none());
        for n in 0..2 * KEPT {
            assert!(find(&format!("^{n}$")).is_some());
        }
        assert!(patterns.0.borrow().len() <= KEPT);
    }
}
