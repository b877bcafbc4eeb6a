//! Regular expressions of the configuration: PCRE2 with JIT, captures kept with the session.

use crate::variable::{Session, VarIndex, Variables};
use conf::tree::SettingError;
use std::cell::RefCell;
use std::marker::PhantomData;
use sys::regex::{Malformed, Matcher, Regex as Code, Subject, Syntax};

/// A compiled expression; named groups set variables of the same name when it matches.
pub struct Regex<S> {
    code: Code,
    names: Vec<(VarIndex, usize)>,
    sessions: PhantomData<fn(&S)>,
}

// Limits, stack and room of all searches.
thread_local!(static MATCHER: RefCell<Option<Matcher>> = const { RefCell::new(None) });

/// Searches `subject`, and shows `found` the ends of the groups up to the last that took part.
fn search<T>(code: &Code, subject: &[u8], found: impl FnOnce(&[usize]) -> T) -> Option<T> {
    MATCHER.with_borrow_mut(|matcher| {
        let matcher = match matcher {
            Some(matcher) => matcher,
            None => matcher.insert(Matcher::new()?),
        };
        matcher.search(code, Subject::new(subject), 0).ok().map(found)
    })
}

/// Start and end of each group, the whole match first.
fn pairs(ends: &[usize], count: usize) -> impl Iterator<Item = Option<(usize, usize)>> {
    let (pairs, _) = ends.as_chunks::<2>();
    let set = pairs.iter().map(|&[start, end]| (start != usize::MAX).then_some((start, end)));
    set.chain(std::iter::repeat(None)).take(count)
}

impl<S: Session> Regex<S> {
    /// Compiles `pattern`.
    ///
    /// # Errors
    /// nginx's line: `pcre2_compile() failed: MSG in "RE" at "REST"`.
    pub fn new(pattern: &[u8], caseless: bool, variables: &mut Variables<S>) -> Result<Regex<S>, SettingError> {
        let mut code =
            Code::new(pattern, Syntax { caseless, ..Syntax::default() }).map_err(|malformed| compile_error(pattern, &malformed))?;
        // What cannot be compiled further is interpreted.
        let _ = code.jit();
        let mut groups = code.names();
        groups.sort_unstable();
        let names = groups.into_iter().map(|(group, name)| (variables.define_changeable(&String::from_utf8_lossy(&name)), group)).collect();
        Ok(Regex { code, names, sessions: PhantomData })
    }

    /// Number of groups, the whole match not included.
    pub fn group_count(&self) -> usize {
        self.code.groups()
    }

    /// Whether `subject` matches; leaves the session's captures alone.
    pub fn is_match(&self, subject: &[u8]) -> bool {
        search(&self.code, subject, |_| ()).is_some()
    }

    /// Where the groups of `subject` are, the whole match first; leaves the session's captures alone.
    pub fn groups(&self, subject: &[u8]) -> Option<Vec<Option<(usize, usize)>>> {
        search(&self.code, subject, |ends| pairs(ends, self.group_count() + 1).collect())
    }

    /// Matches and, on success, sets the session's captures and the named groups' variables.
    /// A match that fails leaves the captures as they were.
    pub fn exec(&self, session: &S, subject: &[u8]) -> bool {
        let cache = session.cache();
        let found = search(&self.code, subject, |ends| {
            let mut captures = cache.captures_mut();
            captures.subject.clear();
            captures.subject.extend_from_slice(subject);
            captures.groups.clear();
            captures.groups.extend(pairs(ends, self.group_count() + 1));
        });
        if found.is_none() {
            return false;
        }
        for &(index, group) in &self.names {
            cache.set(index, cache.captures().get(group).unwrap_or_default());
        }
        true
    }
}

fn compile_error(pattern: &[u8], malformed: &Malformed) -> SettingError {
    let (shown, message) = (String::from_utf8_lossy(pattern), &malformed.message);
    match pattern.get(malformed.offset..).filter(|rest| !rest.is_empty()) {
        Some(rest) => format!("pcre2_compile() failed: {message} in \"{shown}\" at \"{}\"", String::from_utf8_lossy(rest)).into(),
        None => format!("pcre2_compile() failed: {message} in \"{shown}\"").into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fake::Fake;
    use crate::variable::{self, Cache};
    use std::rc::Rc;

    #[test]
    fn groups_and_their_names() {
        let mut variables = Variables::default();
        let dates = Regex::new(b"^/(?<year>\\d+)(-(?<month>\\d+))?(x)?", false, &mut variables).unwrap();
        let caseless = Regex::new(b"ABC\xff", true, &mut variables).unwrap();
        variables.finish().unwrap();
        let session = Fake(Cache::new(Rc::new(variables)));
        let value = |name: &str| {
            let mut out = Vec::new();
            variable::by_name::get_by_name(&session, name, &mut out);
            String::from_utf8(out).unwrap()
        };
        assert_eq!(dates.group_count(), 4);
        assert!(dates.exec(&session, b"/2026-11"));
        assert_eq!((value("year"), value("month")), ("2026".to_owned(), "11".to_owned()));
        assert_eq!(session.cache().captures().count(), 5);
        assert_eq!(session.cache().captures().get(2), Some(&b"-11"[..]));
        assert!(!dates.exec(&session, b"no date"));
        assert_eq!(session.cache().captures().get(0), Some(&b"/2026-11"[..]), "a match that fails changes nothing");
        assert!(dates.exec(&session, b"/1999"));
        assert_eq!((value("year"), value("month")), ("1999".to_owned(), String::new()));
        assert_eq!(session.cache().captures().get(2), None);
        assert_eq!(dates.groups(b"/7x"), Some(vec![Some((0, 3)), Some((1, 2)), None, None, Some((2, 3))]));
        assert!(caseless.is_match(b"abc\xff") && !caseless.is_match(b"abc?"));
    }

    #[test]
    fn errors_show_the_place() {
        let mut variables = Variables::<Fake>::default();
        let message = |pattern: &[u8], variables: &mut _| Regex::new(pattern, false, variables).err().unwrap();
        assert_eq!(message(b"a[b", &mut variables), "pcre2_compile() failed: missing terminating ] for character class in \"a[b\"".into());
        assert_eq!(message(b"a)b", &mut variables), "pcre2_compile() failed: unmatched closing parenthesis in \"a)b\" at \")b\"".into());
    }
}
