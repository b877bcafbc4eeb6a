//! Regular expressions: PCRE2 with the DFA matcher, limits and a stack for compiled code, which the `pcre2` crate lacks.
//!
//! Matching never trusts a subject to be UTF-8: PCRE2 checks it, or was told at compilation to cope with anything, or
//! [`Subject::checked`] has looked at it. Without that, a malformed subject would be undefined behaviour.

mod matcher;

pub use matcher::Matcher;

use pcre2_sys as pcre;
use std::ffi::{c_int, c_void};
use std::fmt;
use std::ptr::{self, NonNull};

/// No match; other negative numbers are failures.
pub const NO_MATCH: i32 = pcre::PCRE2_ERROR_NOMATCH;
/// Where the stack of compiled expressions begins to grow, and the least it may be limited to, in bytes.
pub(crate) const MIN_JIT_STACK: usize = 32 * 1024;

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
    /// The options as PCRE2's `PCRE2_*` bits.
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

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} at offset {}", self.message, self.offset)
    }
}

impl std::error::Error for Malformed {}

/// A compiled regular expression of PCRE2.
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

/// The bytes that are searched.
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
