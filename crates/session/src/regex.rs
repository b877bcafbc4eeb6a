//! Regular expressions of the configuration: PCRE2 with JIT, captures kept with the session.

use crate::variable::{Session, VarIndex, Variables};
use pcre2::bytes::{CaptureLocations, Regex as Pcre, RegexBuilder};
use std::cell::RefCell;
use std::marker::PhantomData;

/// A compiled expression; named groups set variables of the same name when it matches.
pub struct Regex<S> {
    pcre: Pcre,
    names: Vec<(VarIndex, usize)>,
    locations: RefCell<CaptureLocations>,
    sessions: PhantomData<fn(&S)>,
}

impl<S: Session> Regex<S> {
    /// Compiles `pattern`.
    ///
    /// # Errors
    /// nginx's line: `pcre2_compile() failed: MSG in "RE" at "REST"`.
    pub fn new(pattern: &[u8], caseless: bool, variables: &mut Variables<S>) -> Result<Regex<S>, String> {
        let text = String::from_utf8_lossy(pattern);
        let mut builder = RegexBuilder::new();
        builder.caseless(caseless).jit_if_available(true);
        let pcre = builder.build(&text).map_err(|e| compile_error(&text, &e))?;
        let mut names = Vec::new();
        for (group, name) in pcre.capture_names().iter().enumerate() {
            if let Some(name) = name {
                names.push((variables.define_changeable(name), group));
            }
        }
        let locations = RefCell::new(pcre.capture_locations());
        Ok(Regex { pcre, names, locations, sessions: PhantomData })
    }

    /// Number of groups, the whole match not included.
    pub fn group_count(&self) -> usize {
        self.pcre.captures_len().saturating_sub(1)
    }

    /// Whether `subject` matches; leaves the session's captures alone.
    pub fn is_match(&self, subject: &[u8]) -> bool {
        self.pcre.is_match(subject).unwrap_or(false)
    }

    /// Where the groups of `subject` are, the whole match first; leaves the session's captures alone.
    pub fn groups(&self, subject: &[u8]) -> Option<Vec<Option<(usize, usize)>>> {
        let mut locations = self.locations.borrow_mut();
        self.pcre.captures_read(&mut locations, subject).ok().flatten()?;
        Some((0..locations.len()).map(|n| locations.get(n)).collect())
    }

    /// Matches and, on success, sets the session's captures and the named groups' variables.
    /// A match that fails leaves the captures as they were.
    pub fn exec(&self, session: &S, subject: &[u8]) -> bool {
        let mut locations = self.locations.borrow_mut();
        if !matches!(self.pcre.captures_read(&mut locations, subject), Ok(Some(_))) {
            return false;
        }
        let cache = session.cache();
        {
            let mut captures = cache.captures_mut();
            captures.subject.clear();
            captures.subject.extend_from_slice(subject);
            captures.groups.clear();
            captures.groups.extend((0..locations.len()).map(|n| locations.get(n)));
        }
        for &(index, group) in &self.names {
            match locations.get(group).and_then(|(start, end)| subject.get(start..end)) {
                Some(value) => cache.set(index, value),
                None => cache.set(index, b""),
            }
        }
        true
    }
}

fn compile_error(pattern: &str, error: &pcre2::Error) -> String {
    let text = error.to_string();
    let message = text.rsplit_once(": ").map_or(text.as_str(), |(_, m)| m);
    match error.offset() {
        Some(offset) if offset < pattern.len() => {
            let rest = pattern.get(offset..).unwrap_or_default();
            format!("pcre2_compile() failed: {message} in \"{pattern}\" at \"{rest}\"")
        }
        _ => format!("pcre2_compile() failed: {message} in \"{pattern}\""),
    }
}
