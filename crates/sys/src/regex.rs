//! Regular expressions: PCRE2 with the DFA matcher, limits and a stack for compiled code, which the `pcre2` crate lacks.
//!
//! Matching never trusts a subject to be UTF-8: PCRE2 checks it, or was told at compilation to cope with anything, or
//! [`Subject::checked`] has looked at it. Without that, a malformed subject would be undefined behaviour.

use pcre2_sys as pcre;
use std::ffi::{c_int, c_void};
use std::ptr::{self, NonNull};

/// No match; other negative numbers are failures.
pub const NO_MATCH: i32 = pcre::PCRE2_ERROR_NOMATCH;
/// Where the stack of compiled expressions begins to grow, and the least it may be limited to, in bytes.
pub(crate) const MIN_JIT_STACK: usize = 32 * 1024;
/// How far that stack may grow unless it is said otherwise.
const JIT_STACK: usize = 8 << 20;
/// What one search may use for its memory of where to go back to, in KiB.
const HEAP_LIMIT: u32 = 128 << 10;
/// How much of that is kept from search to search, in bytes.
const KEPT_HEAP: usize = 1 << 20;
/// How deep the DFA matcher may recurse: it does so on the program's stack, at up to 1 KiB a level.
const SCAN_DEPTH: u32 = 1500;
/// Integers for the DFA matcher's states.
const WORKSPACE: usize = 4096;

/// How a pattern is to be read; all off by default.
#[derive(Clone, Copy, Debug, Default)]
pub struct Syntax {
    /// Letters match in both cases.
    pub caseless: bool,
    /// `^` and `$` match at line ends.
    pub multiline: bool,
    /// `.` matches line ends.
    pub dotall: bool,
    /// White space and comments in the pattern are left out.
    pub extended: bool,
    /// A match begins where the search does.
    pub anchored: bool,
    /// Pattern and subject are UTF-8; a subject that is not fails.
    pub utf: bool,
    /// With `utf`: malformed parts of a subject just do not match.
    pub lenient: bool,
    /// Groups may share a name.
    pub duplicate_names: bool,
    /// As JavaScript has it: `[]`, `\u`, references to unset groups.
    pub javascript: bool,
}

impl Syntax {
    /// As PCRE2's bits.
    #[must_use]
    pub fn bits(self) -> u32 {
        let javascript = pcre::PCRE2_ALT_BSUX | pcre::PCRE2_ALLOW_EMPTY_CLASS | pcre::PCRE2_MATCH_UNSET_BACKREF;
        [
            (self.caseless, pcre::PCRE2_CASELESS),
            (self.multiline, pcre::PCRE2_MULTILINE),
            (self.dotall, pcre::PCRE2_DOTALL),
            (self.extended, pcre::PCRE2_EXTENDED),
            (self.anchored, pcre::PCRE2_ANCHORED),
            (self.utf, pcre::PCRE2_UTF),
            (self.utf && self.lenient, pcre::PCRE2_MATCH_INVALID_UTF),
            (self.duplicate_names, pcre::PCRE2_DUPNAMES),
            (self.javascript, javascript),
        ]
        .iter()
        .fold(0, |bits, (on, bit)| if *on { bits | bit } else { bits })
    }
}

/// Why a pattern does not compile.
#[derive(Debug)]
pub struct Malformed {
    /// PCRE2's words.
    pub message: String,
    /// Offset in the pattern, at most its length.
    pub offset: usize,
}

/// A compiled expression.
pub struct Regex {
    code: NonNull<pcre::pcre2_code_8>,
    groups: usize,
    utf: bool,
    lenient: bool,
    jit: bool,
}

impl Drop for Regex {
    fn drop(&mut self) {
        // SAFETY: made by pcre2_compile and freed once.
        unsafe { pcre::pcre2_code_free_8(self.code.as_ptr()) }
    }
}

impl Regex {
    /// Compiles `pattern`.
    ///
    /// # Errors
    /// PCRE2's message and the place it is about.
    pub fn new(pattern: &[u8], syntax: Syntax) -> Result<Regex, Malformed> {
        let (mut error, mut offset) = (0, 0);
        // SAFETY: pointer and length are a slice's; the other pointers are to locals.
        let code = unsafe {
            pcre::pcre2_compile_8(pattern.as_ptr(), pattern.len(), syntax.bits(), &raw mut error, &raw mut offset, ptr::null_mut())
        };
        let Some(code) = NonNull::new(code) else {
            return Err(Malformed { message: message(error), offset: offset.min(pattern.len()) });
        };
        let mut regex = Regex { code, groups: 0, utf: false, lenient: false, jit: false };
        regex.groups = regex.number(pcre::PCRE2_INFO_CAPTURECOUNT) as usize;
        // The pattern itself may have said (*UTF).
        let options = regex.number(pcre::PCRE2_INFO_ALLOPTIONS);
        regex.utf = options & pcre::PCRE2_UTF != 0;
        regex.lenient = options & pcre::PCRE2_MATCH_INVALID_UTF != 0;
        Ok(regex)
    }

    /// Makes machine code of it, for [`Matcher::search`].
    ///
    /// # Errors
    /// PCRE2's number, when there is no memory for it or the pattern does not allow it; the expression stays usable.
    pub fn jit(&mut self) -> Result<(), i32> {
        // SAFETY: a live code that nobody uses meanwhile.
        let code = unsafe { pcre::pcre2_jit_compile_8(self.code.as_ptr(), pcre::PCRE2_JIT_COMPLETE) };
        let mut size = 0_usize;
        // SAFETY: this item is a size_t.
        unsafe { pcre::pcre2_pattern_info_8(self.code.as_ptr(), pcre::PCRE2_INFO_JITSIZE, (&raw mut size).cast()) };
        self.jit = code == 0 && size > 0;
        if code == 0 { Ok(()) } else { Err(code) }
    }

    /// An item of PCRE2's that is an `uint32_t`.
    fn number(&self, item: u32) -> u32 {
        let mut value = 0_u32;
        // SAFETY: the callers ask for items of this type only.
        unsafe { pcre::pcre2_pattern_info_8(self.code.as_ptr(), item, (&raw mut value).cast::<c_void>()) };
        value
    }

    /// Number of groups, the whole match not included.
    #[must_use]
    pub fn groups(&self) -> usize {
        self.groups
    }

    /// Whether it works on UTF-8.
    #[must_use]
    pub fn is_utf(&self) -> bool {
        self.utf
    }

    /// Names of groups with the groups' numbers, sorted by name.
    #[must_use]
    pub fn names(&self) -> Vec<(usize, Vec<u8>)> {
        let count = self.number(pcre::PCRE2_INFO_NAMECOUNT) as usize;
        let size = self.number(pcre::PCRE2_INFO_NAMEENTRYSIZE) as usize;
        let mut table: *const u8 = ptr::null();
        // SAFETY: this item is a pointer to bytes.
        unsafe { pcre::pcre2_pattern_info_8(self.code.as_ptr(), pcre::PCRE2_INFO_NAMETABLE, (&raw mut table).cast::<c_void>()) };
        if table.is_null() || count == 0 || size < 3 {
            return Vec::new();
        }
        // SAFETY: the table has `count` entries of `size` bytes and lives as long as the code.
        let table = unsafe { std::slice::from_raw_parts(table, count * size) };
        let entry = |entry: &[u8]| match entry {
            [high, low, name @ ..] => {
                let name = name.split(|byte| *byte == 0).next().unwrap_or_default();
                (usize::from(*high) << 8 | usize::from(*low), name.to_vec())
            }
            _ => (0, Vec::new()),
        };
        table.chunks_exact(size).map(entry).collect()
    }
}

/// PCRE2's words for one of its numbers.
fn message(error: c_int) -> String {
    let mut text = [0_u8; 256];
    // SAFETY: pointer and length are an array's.
    let length = unsafe { pcre::pcre2_get_error_message_8(error, text.as_mut_ptr(), text.len()) };
    let length = usize::try_from(length).unwrap_or(0);
    String::from_utf8_lossy(text.get(..length).unwrap_or_default()).into_owned()
}

/// Bytes to search.
#[derive(Clone, Copy)]
pub struct Subject<'a> {
    bytes: &'a [u8],
    text: bool,
}

impl<'a> Subject<'a> {
    /// Bytes of which nothing is known.
    #[must_use]
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, text: false }
    }

    /// The same for many searches: if `regex` works on UTF-8, the bytes are checked now, once for all of them.
    #[must_use]
    pub fn checked(bytes: &'a [u8], regex: &Regex) -> Self {
        Self { bytes, text: regex.utf && std::str::from_utf8(bytes).is_ok() }
    }

    /// The bytes.
    #[must_use]
    pub fn bytes(&self) -> &'a [u8] {
        self.bytes
    }

    /// Where the character behind offset `at` begins; one byte on where `regex` does not work on UTF-8.
    #[must_use]
    pub fn next_char(&self, at: usize, regex: &Regex) -> usize {
        let mut next = at + 1;
        while regex.utf && self.bytes.get(next).is_some_and(|byte| byte & 0xc0 == 0x80) {
            next += 1;
        }
        next
    }
}

/// Room for one search's results.
struct MatchData {
    data: NonNull<pcre::pcre2_match_data_8>,
    pairs: usize,
}

impl MatchData {
    fn new(pairs: usize) -> Option<MatchData> {
        let count = u32::try_from(pairs).ok()?;
        // SAFETY: no pointers; null asks for malloc.
        let data = unsafe { pcre::pcre2_match_data_create_8(count, ptr::null_mut()) };
        Some(MatchData { data: NonNull::new(data)?, pairs })
    }

    /// Start and end of the first `count` groups, `usize::MAX` where unset.
    fn groups(&self, count: usize) -> &[usize] {
        // SAFETY: the vector has `pairs` pairs and lives as long as the data, which a search would borrow mutably.
        unsafe { std::slice::from_raw_parts(pcre::pcre2_get_ovector_pointer_8(self.data.as_ptr()), count.min(self.pairs) * 2) }
    }
}

impl Drop for MatchData {
    fn drop(&mut self) {
        // SAFETY: made by pcre2_match_data_create and freed once.
        unsafe { pcre::pcre2_match_data_free_8(self.data.as_ptr()) }
    }
}

/// Limits of searches.
struct Limits(NonNull<pcre::pcre2_match_context_8>);

impl Limits {
    fn new() -> Option<Limits> {
        // SAFETY: null asks for malloc.
        NonNull::new(unsafe { pcre::pcre2_match_context_create_8(ptr::null_mut()) }).map(Limits)
    }
}

impl Drop for Limits {
    fn drop(&mut self) {
        // SAFETY: made by pcre2_match_context_create and freed once.
        unsafe { pcre::pcre2_match_context_free_8(self.0.as_ptr()) }
    }
}

/// The stack of compiled expressions.
struct JitStack(NonNull<pcre::pcre2_jit_stack_8>);

impl JitStack {
    fn new(size: usize) -> Option<JitStack> {
        // SAFETY: no pointers; null asks for malloc.
        NonNull::new(unsafe { pcre::pcre2_jit_stack_create_8(MIN_JIT_STACK, size, ptr::null_mut()) }).map(JitStack)
    }
}

impl Drop for JitStack {
    fn drop(&mut self) {
        // SAFETY: made by pcre2_jit_stack_create and freed once.
        unsafe { pcre::pcre2_jit_stack_free_8(self.0.as_ptr()) }
    }
}

/// What searches need: limits, a stack, and room for results, used again and again.
pub struct Matcher {
    // The limits name the stack, so they go first.
    limits: Limits,
    scan_limits: Limits,
    stack: JitStack,
    room: MatchData,
    scan_room: MatchData,
    workspace: Vec<c_int>,
    default_limit: u32,
}

impl Matcher {
    /// A matcher with PCRE2's limits; none when memory is exhausted.
    #[must_use]
    pub fn new() -> Option<Matcher> {
        let (limits, scan_limits, stack) = (Limits::new()?, Limits::new()?, JitStack::new(JIT_STACK)?);
        let mut default_limit = 0_u32;
        // SAFETY: live contexts; the stack lives as long as the limits that name it; the item is an uint32_t.
        unsafe {
            pcre::pcre2_set_heap_limit_8(limits.0.as_ptr(), HEAP_LIMIT);
            pcre::pcre2_set_heap_limit_8(scan_limits.0.as_ptr(), HEAP_LIMIT);
            pcre::pcre2_set_depth_limit_8(scan_limits.0.as_ptr(), SCAN_DEPTH);
            pcre::pcre2_jit_stack_assign_8(limits.0.as_ptr(), None, stack.0.as_ptr().cast());
            pcre::pcre2_config_8(pcre::PCRE2_CONFIG_MATCHLIMIT, (&raw mut default_limit).cast());
        }
        Some(Matcher {
            limits,
            scan_limits,
            stack,
            room: MatchData::new(16)?,
            scan_room: MatchData::new(1)?,
            workspace: Vec::new(),
            default_limit,
        })
    }

    /// Limits the steps of a [`Matcher::search`]; 0 is PCRE2's own limit.
    pub fn set_match_limit(&mut self, limit: u32) {
        let limit = if limit == 0 { self.default_limit } else { limit };
        // SAFETY: a live context.
        unsafe { pcre::pcre2_set_match_limit_8(self.limits.0.as_ptr(), limit) };
    }

    /// Lets the stack of compiled expressions grow to `size` bytes, at least [`MIN_JIT_STACK`]. False when there is no memory.
    #[must_use]
    pub fn set_jit_stack(&mut self, size: usize) -> bool {
        let Some(stack) = JitStack::new(size.max(MIN_JIT_STACK)) else { return false };
        // SAFETY: a live context; the stack lives as long as the limits that name it.
        unsafe { pcre::pcre2_jit_stack_assign_8(self.limits.0.as_ptr(), None, stack.0.as_ptr().cast()) };
        self.stack = stack;
        true
    }

    /// Searches from offset `start`: start and end of each group, up to the last that is set; `usize::MAX` where unset.
    ///
    /// # Errors
    /// [`NO_MATCH`], or another of PCRE2's negative numbers.
    pub fn search(&mut self, regex: &Regex, subject: Subject<'_>, start: usize) -> Result<&[usize], i32> {
        let bytes = subject.bytes;
        if start > bytes.len() {
            return Err(pcre::PCRE2_ERROR_BADOFFSET);
        }
        if regex.groups >= self.room.pairs {
            self.room = MatchData::new(regex.groups + 1).ok_or(pcre::PCRE2_ERROR_NOMEMORY)?;
        }
        let proven = !regex.utf || regex.lenient || subject.text;
        if subject.text && regex.utf && bytes.get(start).is_some_and(|byte| byte & 0xc0 == 0x80) {
            return Err(pcre::PCRE2_ERROR_BADUTFOFFSET);
        }
        let (code, data, limits) = (regex.code.as_ptr(), self.room.data.as_ptr(), self.limits.0.as_ptr());
        // SAFETY: all are live, and the room has a pair for each group. The check of UTF-8 is left out only where none is
        // needed, or where the subject is known to be text and the start lies between two characters. Compiled code
        // exists where `jit` says so.
        let count = unsafe {
            if regex.jit && proven {
                pcre::pcre2_jit_match_8(code, bytes.as_ptr(), bytes.len(), start, 0, data, limits)
            } else {
                let options = if subject.text && regex.utf { pcre::PCRE2_NO_UTF_CHECK } else { 0 };
                pcre::pcre2_match_8(code, bytes.as_ptr(), bytes.len(), start, options, data, limits)
            }
        };
        // SAFETY: live data.
        if !regex.jit && unsafe { pcre::pcre2_get_match_data_heapframes_size_8(data) } > KEPT_HEAP {
            return self.search_anew(regex, count);
        }
        usize::try_from(count).map(|count| self.room.groups(count)).map_err(|_| count)
    }

    /// The results of a search whose room has become large, in a fresh room.
    fn search_anew(&mut self, regex: &Regex, count: c_int) -> Result<&[usize], i32> {
        let fresh = MatchData::new(regex.groups + 1).ok_or(pcre::PCRE2_ERROR_NOMEMORY)?;
        let full = std::mem::replace(&mut self.room, fresh);
        let found = full.groups(usize::try_from(count).map_err(|_| count)?);
        // SAFETY: both vectors have at least as many pairs as the expression has groups, and are different ones.
        unsafe { ptr::copy_nonoverlapping(found.as_ptr(), pcre::pcre2_get_ovector_pointer_8(self.room.data.as_ptr()), found.len()) };
        Ok(self.room.groups(found.len() / 2))
    }

    /// The longest match from offset `start` on, by the DFA matcher, which sets no groups.
    ///
    /// # Errors
    /// [`NO_MATCH`], or another of PCRE2's negative numbers.
    pub fn scan(&mut self, regex: &Regex, subject: Subject<'_>, start: usize) -> Result<&[usize], i32> {
        let bytes = subject.bytes;
        if start > bytes.len() {
            return Err(pcre::PCRE2_ERROR_BADOFFSET);
        }
        self.workspace.resize(WORKSPACE, 0);
        // SAFETY: all are live; PCRE2 checks the subject itself.
        let count = unsafe {
            pcre::pcre2_dfa_match_8(
                regex.code.as_ptr(),
                bytes.as_ptr(),
                bytes.len(),
                start,
                0,
                self.scan_room.data.as_ptr(),
                self.scan_limits.0.as_ptr(),
                self.workspace.as_mut_ptr(),
                self.workspace.len(),
            )
        };
        // 0: there are shorter matches too.
        if count < 0 { Err(count) } else { Ok(self.scan_room.groups(1)) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn regex(pattern: &str, syntax: Syntax, jit: bool) -> Regex {
        let mut regex = Regex::new(pattern.as_bytes(), syntax).unwrap();
        if jit {
            regex.jit().unwrap();
        }
        regex
    }

    #[test]
    fn groups_and_names() {
        let mut matcher = Matcher::new().unwrap();
        for jit in [false, true] {
            let regex = regex("(?<a>x)|(?<b>y)(z)?", Syntax::default(), jit);
            assert_eq!(regex.names(), [(1, b"a".to_vec()), (2, b"b".to_vec())]);
            let unset = usize::MAX;
            assert_eq!(matcher.search(&regex, Subject::new(b"--y"), 0).unwrap(), [2, 3, unset, unset, 2, 3]);
            assert_eq!(matcher.search(&regex, Subject::new(b"--"), 0), Err(NO_MATCH));
            assert_eq!(matcher.search(&regex, Subject::new(b""), 1), Err(-33));
        }
    }

    #[test]
    fn malformed_patterns_and_subjects() {
        let error = Regex::new(b"(abc", Syntax::default()).err().unwrap();
        assert_eq!((error.message.as_str(), error.offset), ("missing closing parenthesis", 4));
        let mut matcher = Matcher::new().unwrap();
        let utf = Syntax { utf: true, ..Syntax::default() };
        for jit in [false, true] {
            let strict = regex(".", utf, jit);
            assert_eq!(matcher.search(&strict, Subject::new(b"a\xe4\xbd"), 0), Err(-3));
            assert_eq!(matcher.search(&strict, Subject::checked("ä".as_bytes(), &strict), 1), Err(-36));
            assert_eq!(matcher.search(&strict, Subject::new("ä".as_bytes()), 1), Err(-36));
            assert_eq!(matcher.search(&strict, Subject::checked("ä".as_bytes(), &strict), 0).unwrap(), [0, 2]);
            let lenient = regex("b", Syntax { lenient: true, ..utf }, jit);
            assert_eq!(matcher.search(&lenient, Subject::new(b"\xff\xe4b"), 0).unwrap(), [2, 3]);
            let inline = regex("(*UTF).", Syntax::default(), jit);
            assert!(matches!(matcher.search(&inline, Subject::new(b"\xff"), 0), Err(-23..=-3)));
        }
    }

    #[test]
    fn limits_end_a_search() {
        let mut matcher = Matcher::new().unwrap();
        let subject = [b'x'; 40];
        for jit in [false, true] {
            let regex = regex("(x+x+)+[yz]", Syntax::default(), jit);
            matcher.set_match_limit(1000);
            assert_eq!(matcher.search(&regex, Subject::new(&subject), 0), Err(-47));
            matcher.set_match_limit(0);
        }
        let deep = regex("(?:\\((?R)\\)|x)", Syntax::default(), true);
        let subject = vec![b'('; 1 << 20];
        assert!(matcher.set_jit_stack(0));
        assert_eq!(matcher.search(&deep, Subject::new(&subject), 0), Err(-46));
        assert_eq!(matcher.scan(&deep, Subject::new(&subject), 0), Err(-53));
    }

    #[test]
    fn much_memory_is_given_back() {
        let mut matcher = Matcher::new().unwrap();
        let regex = regex("^(?:(a)|b)*(c)", Syntax::default(), false);
        let mut subject = vec![b'a'; 100_000];
        subject.push(b'c');
        let expected = [0, 100_001, 99_999, 100_000, 100_000, 100_001];
        assert_eq!(matcher.search(&regex, Subject::new(&subject), 0).unwrap(), expected);
        let many = vec![b'a'; 3 << 20];
        assert!(matches!(matcher.search(&regex, Subject::new(&many), 0), Err(-47 | -63)));
    }

    #[test]
    fn longest_match() {
        let mut matcher = Matcher::new().unwrap();
        let regex = regex("<.*>", Syntax::default(), false);
        assert_eq!(matcher.scan(&regex, Subject::new(b"-<a> <b> c"), 0).unwrap(), [1, 8]);
        assert_eq!(matcher.scan(&regex, Subject::new(b"-<a> <b> c"), 6), Err(NO_MATCH));
    }
}
