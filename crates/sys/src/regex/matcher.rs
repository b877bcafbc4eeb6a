//! Searches, and the memory that they use again.

use super::{MIN_JIT_STACK, Regex, Subject};
use pcre2_sys as pcre;
use std::ffi::c_int;
use std::ptr::{self, NonNull};

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

/// The results of one search.
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

/// What searches need: limits, a stack, and memory for results, used again and again.
pub struct Matcher {
    // The limits name the stack, so they go first.
    limits: Limits,
    scan_limits: Limits,
    stack: JitStack,
    found: MatchData,
    scanned: MatchData,
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
            found: MatchData::new(16)?,
            scanned: MatchData::new(1)?,
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
    /// `PCRE2_ERROR_NOMATCH`, or another of PCRE2's negative numbers.
    pub fn search(&mut self, regex: &Regex, subject: Subject<'_>, start: usize) -> Result<&[usize], i32> {
        let bytes = subject.bytes;
        if start > bytes.len() {
            return Err(pcre::PCRE2_ERROR_BADOFFSET);
        }
        if regex.groups >= self.found.pairs {
            self.found = MatchData::new(regex.groups + 1).ok_or(pcre::PCRE2_ERROR_NOMEMORY)?;
        }
        let proven = !regex.utf || regex.lenient || subject.text;
        if subject.text && regex.utf && bytes.get(start).is_some_and(|byte| byte & 0xc0 == 0x80) {
            return Err(pcre::PCRE2_ERROR_BADUTFOFFSET);
        }
        let (code, data, limits) = (regex.code.as_ptr(), self.found.data.as_ptr(), self.limits.0.as_ptr());
        // SAFETY: all are live, and the results have a pair for each group. The check of UTF-8 is left out only where none is
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
        usize::try_from(count).map(|count| self.found.groups(count)).map_err(|_| count)
    }

    /// The results of a search whose memory has become large, in new memory.
    fn search_anew(&mut self, regex: &Regex, count: c_int) -> Result<&[usize], i32> {
        let fresh = MatchData::new(regex.groups + 1).ok_or(pcre::PCRE2_ERROR_NOMEMORY)?;
        let full = std::mem::replace(&mut self.found, fresh);
        let found = full.groups(usize::try_from(count).map_err(|_| count)?);
        // SAFETY: both vectors have at least as many pairs as the expression has groups, and are different ones.
        unsafe { ptr::copy_nonoverlapping(found.as_ptr(), pcre::pcre2_get_ovector_pointer_8(self.found.data.as_ptr()), found.len()) };
        Ok(self.found.groups(found.len() / 2))
    }

    /// The longest match from offset `start` on, by the DFA matcher, which sets no groups.
    ///
    /// # Errors
    /// `PCRE2_ERROR_NOMATCH`, or another of PCRE2's negative numbers.
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
                self.scanned.data.as_ptr(),
                self.scan_limits.0.as_ptr(),
                self.workspace.as_mut_ptr(),
                self.workspace.len(),
            )
        };
        // 0: there are shorter matches too.
        if count < 0 { Err(count) } else { Ok(self.scanned.groups(1)) }
    }
}
