//! The expressions of this process that Lua holds by number, and what searches with them need.
//!
//! Start and end of a match's groups stand in a vector at a fixed address, which compiled Lua code reads without a call.

use super::template::Template;
use std::cell::RefCell;
use sys::regex::{Matcher, NO_MATCH, Regex, Subject};

/// PCRE2 numbers groups with 16 bits.
const MAX_GROUPS: usize = 1 << 16;
/// PCRE2's number for exhausted memory.
const NO_MEMORY: i32 = -48;

/// An expression with what its flags ask for.
pub(crate) struct Compiled {
    pub(crate) regex: Regex,
    /// Use the DFA matcher.
    pub(crate) dfa: bool,
    /// What matches are replaced by, where it is no function.
    pub(crate) template: Template,
}

impl Compiled {
    fn run<'a>(&self, matcher: &'a mut Matcher, subject: Subject<'_>, start: usize) -> Result<&'a [usize], i32> {
        if self.dfa { matcher.scan(&self.regex, subject, start) } else { matcher.search(&self.regex, subject, start) }
    }
}

/// All of it; one a process.
#[derive(Default)]
pub(crate) struct Engine {
    matcher: Option<Matcher>,
    compiled: Vec<Option<Compiled>>,
    vacant: Vec<usize>,
    captures: Vec<i32>,
}

thread_local!(static ENGINE: RefCell<Engine> = RefCell::default());

/// Runs `f` on the engine; none while it is in use, and at the process's very end.
pub(crate) fn with<R>(f: impl FnOnce(&mut Engine) -> R) -> Option<R> {
    ENGINE.try_with(|engine| engine.try_borrow_mut().ok().map(|mut engine| f(&mut engine))).ok().flatten()
}

impl Engine {
    fn matcher(&mut self) -> Option<&mut Matcher> {
        if self.matcher.is_none() {
            self.matcher = Matcher::new();
        }
        self.matcher.as_mut()
    }

    /// Keeps an expression; its number. Steps are limited to `limit` from now on (0: PCRE2's limit).
    pub(crate) fn insert(&mut self, compiled: Compiled, limit: u32) -> Option<usize> {
        self.matcher()?.set_match_limit(limit);
        if let Some(id) = self.vacant.pop()
            && let Some(place) = self.compiled.get_mut(id)
        {
            *place = Some(compiled);
            return Some(id);
        }
        self.compiled.push(Some(compiled));
        Some(self.compiled.len() - 1)
    }

    /// Drops an expression.
    pub(crate) fn free(&mut self, id: i32) {
        let Ok(id) = usize::try_from(id) else { return };
        if self.compiled.get_mut(id).and_then(Option::take).is_some() {
            self.vacant.push(id);
        }
    }

    /// Lets the stack of machine code grow to `size` bytes.
    pub(crate) fn set_jit_stack(&mut self, size: usize) -> bool {
        self.matcher().is_some_and(|matcher| matcher.set_jit_stack(size))
    }

    /// The address of the groups of the last match: start and end of each as `int32_t`, -1 where unset.
    pub(crate) fn captures(&mut self) -> *const i32 {
        if self.captures.is_empty() {
            // Zeroed memory: pages that no match reaches stay untouched.
            self.captures = vec![0; MAX_GROUPS * 2];
        }
        self.captures.as_ptr()
    }

    /// Searches `subject` from offset `start` and leaves the groups where [`Engine::captures`] says. How many groups there
    /// are up to the last that is set, or PCRE2's number for what went wrong.
    pub(crate) fn search(&mut self, id: i32, subject: &[u8], start: i32) -> i32 {
        let Ok(start) = usize::try_from(start) else { return -33 };
        let found = usize::try_from(id).ok().and_then(|id| self.compiled.get(id)).and_then(Option::as_ref);
        let (Some(compiled), Some(matcher)) = (found, self.matcher.as_mut()) else { return NO_MEMORY };
        let groups = match compiled.run(matcher, Subject::new(subject), start) {
            Ok(groups) => groups,
            Err(code) => return code,
        };
        let mut places = self.captures.iter_mut();
        for (offset, place) in groups.iter().zip(&mut places) {
            // An unset one's offset is all ones.
            *place = i32::try_from(*offset).unwrap_or(-1);
        }
        let unset = (compiled.regex.groups() * 2 + 2).saturating_sub(groups.len());
        places.take(unset).for_each(|place| *place = -1);
        i32::try_from(groups.len() / 2).unwrap_or(i32::MAX)
    }

    /// Appends `subject` to `out` with the first match, or `all`, replaced by the template. The number of matches, or
    /// PCRE2's number for what went wrong.
    pub(crate) fn substitute(&mut self, id: i32, subject: &[u8], all: bool, out: &mut Vec<u8>) -> i32 {
        let found = usize::try_from(id).ok().and_then(|id| self.compiled.get(id)).and_then(Option::as_ref);
        let (Some(compiled), Some(matcher)) = (found, self.matcher.as_mut()) else { return NO_MEMORY };
        let subject = if all { Subject::checked(subject, &compiled.regex) } else { Subject::new(subject) };
        let bytes = subject.bytes();
        let (mut start, mut copied, mut count) = (0, 0, 0);
        while start <= bytes.len() {
            let groups = match compiled.run(matcher, subject, start) {
                Ok(groups) => groups,
                Err(NO_MATCH) => break,
                Err(code) => return code,
            };
            let [from, to, ..] = *groups else { return NO_MEMORY };
            count += 1;
            out.extend_from_slice(bytes.get(copied..from).unwrap_or_default());
            compiled.template.render(groups, subject, out);
            copied = to;
            start = if from == to { subject.next_char(to, &compiled.regex) } else { to };
            if !all {
                break;
            }
        }
        if count > 0 {
            out.extend_from_slice(bytes.get(copied..).unwrap_or_default());
        }
        count
    }
}
