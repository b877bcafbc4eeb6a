//! The command line as C code expects it: `char **ngx_argv`, which Lua code reads through the FFI to start the program again.

use std::ffi::{CString, OsString, c_char};
use std::os::unix::ffi::OsStringExt;
use std::ptr;
use std::sync::atomic::{AtomicPtr, Ordering};

/// The arguments, with a null pointer behind them; null until [`publish`].
#[unsafe(no_mangle)]
#[used]
pub(crate) static ngx_argv: AtomicPtr<*const c_char> = AtomicPtr::new(ptr::null_mut());

/// Fills [`ngx_argv`]. The copies live as long as the process.
pub fn publish(arguments: &[OsString]) {
    let copy = |argument: &OsString| CString::new(argument.clone().into_vec()).ok();
    let mut pointers: Vec<*const c_char> = arguments.iter().filter_map(copy).map(|text| text.into_raw().cast_const()).collect();
    pointers.push(ptr::null());
    ngx_argv.store(Box::leak(pointers.into_boxed_slice()).as_mut_ptr(), Ordering::Relaxed);
}
