//! crypt(3) of the system, which knows the forms of stored passwords that its administrators use. The library is loaded when it
//! is first asked for, since not every system has it.

use std::ffi::{CStr, CString, c_char, c_int};
use std::sync::OnceLock;

type CryptRn = unsafe extern "C" fn(*const c_char, *const c_char, *mut u8, c_int) -> *mut c_char;

/// What crypt_rn(3) works in, at most: libxcrypt needs 32 KiB, other libraries up to 128 KiB.
const ROOM: usize = 256 * 1024;

fn library() -> Option<CryptRn> {
    static LOADED: OnceLock<Option<CryptRn>> = OnceLock::new();
    *LOADED.get_or_init(|| {
        // SAFETY: the name is a C string; loading runs the initialisers of the system's own library.
        let handle = unsafe { libc::dlopen(c"libcrypt.so.1".as_ptr(), libc::RTLD_NOW | libc::RTLD_LOCAL) };
        if handle.is_null() {
            return None;
        }
        // SAFETY: the handle is open and is never closed; the name is a C string.
        let symbol = unsafe { libc::dlsym(handle, c"crypt_rn".as_ptr()) };
        if symbol.is_null() {
            return None;
        }
        // SAFETY: crypt_rn(3) has this signature: phrase, setting, memory to work in, and its length.
        Some(unsafe { std::mem::transmute::<*mut libc::c_void, CryptRn>(symbol) })
    })
}

/// What crypt(3) makes of `phrase` with the form and the salt of `setting`; `None` if the system's library is missing, or does not know
/// that form, or one of the two holds a zero byte.
#[must_use]
pub fn crypt(phrase: &[u8], setting: &[u8]) -> Option<Vec<u8>> {
    let crypt_rn = library()?;
    let (phrase, setting) = (CString::new(phrase).ok()?, CString::new(setting).ok()?);
    let mut room = vec![0_u64; ROOM / 8];
    let length = c_int::try_from(ROOM).ok()?;
    // SAFETY: both strings end with a zero byte; the memory is zeroed, aligned for words and as long as is said.
    let made = unsafe { crypt_rn(phrase.as_ptr(), setting.as_ptr(), room.as_mut_ptr().cast(), length) };
    if made.is_null() {
        return None;
    }
    // SAFETY: crypt_rn(3) answers with a C string inside that memory, which is still there.
    Some(unsafe { CStr::from_ptr(made) }.to_bytes().to_vec())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forms_that_the_system_knows() {
        // crypt(3) of DES, with the salt `sa`.
        assert_eq!(crypt(b"password", b"sa3tHJ3/KuYvI").as_deref(), Some(&b"sa3tHJ3/KuYvI"[..]));
        assert_ne!(crypt(b"wrong", b"sa3tHJ3/KuYvI").as_deref(), Some(&b"sa3tHJ3/KuYvI"[..]));
        assert_eq!(crypt(b"pass\0word", b"sa"), None);
        assert_eq!(crypt(b"password", b"$unknown$form"), None);
        assert_eq!(crypt(b"password", b""), None);
    }
}
