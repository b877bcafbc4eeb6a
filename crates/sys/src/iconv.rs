//! Conversions between character sets by the C library (iconv(3)), which knows more of them than any crate, under the names that its users know.

use std::ffi::CString;
use std::io;

/// A conversion under way: some character sets have a state that outlives a call.
#[derive(Debug)]
pub struct Iconv(libc::iconv_t);

/// Why a conversion stopped before the end of its input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stop {
    /// The output has no room for the next character.
    Full,
    /// The input ends within a character.
    Incomplete,
    /// The next byte begins no character of the source set, or one that the target set has not.
    Invalid,
}

impl Iconv {
    /// A conversion between two sets that are named as `iconv -l` lists them, with suffixes such as `//TRANSLIT`.
    ///
    /// # Errors
    /// `InvalidInput` for a pair that the C library does not convert, or a name with a zero byte; others as the system says.
    pub fn open(from: &[u8], to: &[u8]) -> io::Result<Iconv> {
        let (from, to) = (CString::new(from)?, CString::new(to)?);
        // SAFETY: both names are C strings.
        let descriptor = unsafe { libc::iconv_open(to.as_ptr(), from.as_ptr()) };
        // iconv_open(3) answers -1 for errors.
        if descriptor.addr() == usize::MAX { Err(io::Error::last_os_error()) } else { Ok(Iconv(descriptor)) }
    }

    /// Converts from the front of `input`, whose converted part is taken off, into `output`; how many bytes were written, and why it
    /// stopped if `input` is not empty then.
    pub fn convert(&mut self, input: &mut &[u8], output: &mut [u8]) -> (usize, Option<Stop>) {
        // iconv(3) takes a pointer to bytes that may be changed, and does not change them.
        let mut from = input.as_ptr().cast_mut().cast();
        let (mut left, mut room) = (input.len(), output.len());
        let mut to = output.as_mut_ptr().cast();
        // SAFETY: the descriptor is open; both pointers are valid for the lengths that go with them.
        let result = unsafe { libc::iconv(self.0, &raw mut from, &raw mut left, &raw mut to, &raw mut room) };
        let stop = (result == usize::MAX).then(|| Stop::of(&io::Error::last_os_error()));
        *input = input.get(input.len().saturating_sub(left)..).unwrap_or_default();
        (output.len().saturating_sub(room), stop)
    }

    /// Ends the text: what takes a stateful set back to its first state is written into `output`, if there is room; how many bytes that is.
    pub fn finish(&mut self, output: &mut [u8]) -> usize {
        let mut room = output.len();
        let mut to = output.as_mut_ptr().cast();
        // SAFETY: the descriptor is open; without input iconv(3) only writes, as far as there is room.
        unsafe { libc::iconv(self.0, std::ptr::null_mut(), std::ptr::null_mut(), &raw mut to, &raw mut room) };
        output.len().saturating_sub(room)
    }
}

impl Stop {
    fn of(error: &io::Error) -> Stop {
        match error.raw_os_error() {
            Some(libc::E2BIG) => Stop::Full,
            Some(libc::EINVAL) => Stop::Incomplete,
            _ => Stop::Invalid,
        }
    }
}

impl Drop for Iconv {
    fn drop(&mut self) {
        // SAFETY: the descriptor is open, and nothing uses it after this.
        unsafe { libc::iconv_close(self.0) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stops_say_why() {
        let table: [(&[u8], &[u8], &[u8], &[u8], usize, Option<Stop>); 6] = [
            (b"latin1", b"utf-8", b"caf\xe9", "café".as_bytes(), 0, None),
            (b"utf-8", b"gbk", "你好".as_bytes(), b"\xc4\xe3\xba\xc3", 0, None),
            (b"utf-8", b"gbk", b"\xe4\xbd", b"", 2, Some(Stop::Incomplete)),
            (b"utf-8", b"gbk", b"a\xff!", b"a", 2, Some(Stop::Invalid)),
            (b"utf-8", b"latin1", "a你".as_bytes(), b"a", 3, Some(Stop::Invalid)),
            (b"utf-8", b"utf-16le", b"abcdefghi", b"a\0b\0c\0d\0e\0f\0g\0h\0", 1, Some(Stop::Full)),
        ];
        for (from, to, text, expected, left, stop) in table {
            let mut input = text;
            let mut output = [0; 16];
            let (written, stopped) = Iconv::open(from, to).unwrap().convert(&mut input, &mut output);
            assert_eq!((&output[..written], input.len(), stopped), (expected, left, stop), "{}", text.escape_ascii());
        }
    }

    #[test]
    fn a_stateful_set_ends_in_its_first_state() {
        let mut iconv = Iconv::open(b"utf-8", b"iso-2022-jp").unwrap();
        let mut output = [0; 32];
        let (written, stop) = iconv.convert(&mut "日".as_bytes(), &mut output);
        assert_eq!((&output[..written], stop), (&b"\x1b$BF|"[..], None));
        let end = iconv.finish(&mut output);
        assert_eq!(&output[..end], b"\x1b(B");
        assert_eq!(iconv.finish(&mut []), 0);
    }

    #[test]
    fn unknown_names() {
        for (from, to) in [(&b"utf-8"[..], &b"klingon"[..]), (b"klingon", b"utf-8"), (b"utf\0-8", b"gbk")] {
            assert_eq!(Iconv::open(from, to).unwrap_err().kind(), io::ErrorKind::InvalidInput);
        }
    }
}
