//! Functions and variables of nginx and OpenResty under their C names, for Lua code that reaches them through `ffi.C`.
//!
//! The program exports `ngx_*` (see the crate's text about linking). None of them looks into a request.

use std::ffi::c_int;
use std::slice;
use std::sync::atomic::{AtomicI32, AtomicUsize, Ordering};

/// What the C functions answer to bad input.
const NGX_ERROR: isize = -1;

/// The process's number (`ngx_pid_t`).
#[unsafe(no_mangle)]
#[used]
pub static ngx_pid: AtomicI32 = AtomicI32::new(0);

/// The number of the worker that this process is.
#[unsafe(no_mangle)]
#[used]
pub static ngx_worker: AtomicUsize = AtomicUsize::new(0);

/// What this process is: 0 alone, 1 the master, 3 a worker, 4 another one.
#[unsafe(no_mangle)]
#[used]
pub static ngx_process: AtomicUsize = AtomicUsize::new(0);

const fn crc_table<const N: usize>(bits: u32) -> [u32; N] {
    let mut table = [0; N];
    let mut i = 0;
    while (i as usize) < N {
        let (mut sum, mut bit) = (i, 0);
        while bit < bits {
            sum = if sum & 1 == 0 { sum >> 1 } else { (sum >> 1) ^ 0xedb8_8320 };
            bit += 1;
        }
        table[i as usize] = sum;
        i += 1;
    }
    table
}

/// The table of CRC-32 by bytes.
#[unsafe(no_mangle)]
#[used]
pub static ngx_crc32_table256: [u32; 256] = crc_table(8);

static SHORT: [u32; 16] = crc_table(4);

/// The table of CRC-32 by half bytes.
#[unsafe(no_mangle)]
#[used]
pub static ngx_crc32_table_short: &[u32; 16] = &SHORT;

/// Says what the process is; to be called at its start.
pub fn set_process(kind: usize, worker: usize) {
    ngx_pid.store(i32::try_from(std::process::id()).unwrap_or(0), Ordering::Relaxed);
    ngx_process.store(kind, Ordering::Relaxed);
    ngx_worker.store(worker, Ordering::Relaxed);
    // The linker keeps what is named here.
    std::hint::black_box(KEPT);
}

type Hash = unsafe extern "C" fn(*const u8, usize, *mut u8);
type Sum = unsafe extern "C" fn(*const u8, usize) -> u32;
type Number = unsafe extern "C" fn(*const u8, usize) -> isize;
type IntFn = extern "C" fn() -> c_int;
type DumpFn = unsafe extern "C" fn(*mut u8, *const u8, usize) -> *mut u8;
type ExportedFns = ([Hash; 3], [Sum; 3], [Number; 2], [IntFn; 2], DumpFn);

const KEPT: ExportedFns = (
    [ngx_http_lua_ffi_md5, ngx_http_lua_ffi_md5_bin, ngx_http_lua_ffi_sha1_bin],
    [ngx_murmur_hash2, ngx_http_lua_ffi_crc32_short, ngx_http_lua_ffi_crc32_long],
    [ngx_atoi, ngx_hextoi],
    [ngx_http_lua_ffi_worker_pid, ngx_http_lua_ffi_worker_id],
    ngx_hex_dump,
);

/// # Safety
/// `length` bytes at `start` are readable, or there are none.
unsafe fn bytes<'a>(start: *const u8, length: usize) -> &'a [u8] {
    if start.is_null() || length == 0 {
        return &[];
    }
    // SAFETY: the caller's contract.
    unsafe { slice::from_raw_parts(start, length) }
}

/// # Safety
/// `from.len()` bytes at `to` are writable.
unsafe fn write(to: *mut u8, from: &[u8]) {
    // SAFETY: the caller's contract; what is read is ours.
    unsafe { to.copy_from_nonoverlapping(from.as_ptr(), from.len()) }
}

fn hex(from: &[u8], mut each: impl FnMut(u8)) {
    let digit = |n: u8| if n < 10 { b'0' + n } else { b'a' + n - 10 };
    for byte in from {
        each(digit(byte >> 4));
        each(digit(byte & 15));
    }
}

/// Writes each byte of `from` as two digits; returns where the next byte goes.
///
/// # Safety
/// `length` bytes at `from` are readable, twice as many at `to` writable.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ngx_hex_dump(to: *mut u8, from: *const u8, length: usize) -> *mut u8 {
    let mut at = to;
    // SAFETY: the caller's contract: two bytes are written for each that is read.
    hex(unsafe { bytes(from, length) }, |digit| unsafe {
        at.write(digit);
        at = at.add(1);
    });
    at
}

fn number(text: &[u8], radix: u8) -> isize {
    if text.is_empty() {
        return NGX_ERROR;
    }
    let digit = |byte: u8| char::from(byte).to_digit(radix.into()).and_then(|digit| isize::try_from(digit).ok());
    let all = text.iter().try_fold(0isize, |value, byte| value.checked_mul(radix.into())?.checked_add(digit(*byte)?));
    all.unwrap_or(NGX_ERROR)
}

/// The decimal number, or -1.
///
/// # Safety
/// `length` bytes at `text` are readable.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ngx_atoi(text: *const u8, length: usize) -> isize {
    // SAFETY: the caller's contract.
    number(unsafe { bytes(text, length) }, 10)
}

/// The hexadecimal number, or -1.
///
/// # Safety
/// `length` bytes at `text` are readable.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ngx_hextoi(text: *const u8, length: usize) -> isize {
    // SAFETY: the caller's contract.
    number(unsafe { bytes(text, length) }, 16)
}

/// MurmurHash2 with the length for a seed.
///
/// # Safety
/// `length` bytes at `data` are readable.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ngx_murmur_hash2(data: *const u8, length: usize) -> u32 {
    const M: u32 = 0x5bd1_e995;
    // SAFETY: the caller's contract.
    let data = unsafe { bytes(data, length) };
    #[expect(clippy::cast_possible_truncation, reason = "a longer length is cut in nginx too")]
    let mut hash = length as u32;
    let mut words = data.chunks_exact(4);
    for word in &mut words {
        let mut k = word.iter().rev().fold(0, |k, byte| k << 8 | u32::from(*byte)).wrapping_mul(M);
        k = (k ^ k >> 24).wrapping_mul(M);
        hash = hash.wrapping_mul(M) ^ k;
    }
    let rest = words.remainder();
    if !rest.is_empty() {
        hash = (hash ^ rest.iter().rev().fold(0, |k, byte| k << 8 | u32::from(*byte))).wrapping_mul(M);
    }
    hash = (hash ^ hash >> 13).wrapping_mul(M);
    hash ^ hash >> 15
}

fn crc32(data: &[u8]) -> u32 {
    let step = |sum: u32, byte: &u8| ngx_crc32_table256.get(((sum ^ u32::from(*byte)) & 0xff) as usize).copied().unwrap_or(0) ^ sum >> 8;
    !data.iter().fold(!0, step)
}

/// # Safety
/// `length` bytes at `data` are readable.
#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn ngx_http_lua_ffi_crc32_short(data: *const u8, length: usize) -> u32 {
    // SAFETY: the caller's contract.
    crc32(unsafe { bytes(data, length) })
}

/// # Safety
/// `length` bytes at `data` are readable.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ngx_http_lua_ffi_crc32_long(data: *const u8, length: usize) -> u32 {
    // SAFETY: the caller's contract.
    crc32(unsafe { bytes(data, length) })
}

/// # Safety
/// `length` bytes at `data` are readable, 16 at `out` writable.
#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn ngx_http_lua_ffi_md5_bin(data: *const u8, length: usize, out: *mut u8) {
    use md5::Digest;
    // SAFETY: the caller's contract.
    unsafe { write(out, &md5::Md5::digest(bytes(data, length))) }
}

/// # Safety
/// `length` bytes at `data` are readable, 32 at `out` writable.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ngx_http_lua_ffi_md5(data: *const u8, length: usize, out: *mut u8) {
    use md5::Digest;
    // SAFETY: the caller's contract.
    let sum = md5::Md5::digest(unsafe { bytes(data, length) });
    // SAFETY: as above.
    unsafe { ngx_hex_dump(out, sum.as_ptr(), sum.len()) };
}

/// # Safety
/// `length` bytes at `data` are readable, 20 at `out` writable.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ngx_http_lua_ffi_sha1_bin(data: *const u8, length: usize, out: *mut u8) {
    use sha1::Digest;
    // SAFETY: the caller's contract.
    unsafe { write(out, &sha1::Sha1::digest(bytes(data, length))) }
}

/// `ngx.worker.pid`
#[unsafe(no_mangle)]
pub(crate) extern "C" fn ngx_http_lua_ffi_worker_pid() -> c_int {
    ngx_pid.load(Ordering::Relaxed)
}

/// `ngx.worker.id`, -1 where the process is no worker.
#[unsafe(no_mangle)]
pub extern "C" fn ngx_http_lua_ffi_worker_id() -> c_int {
    match ngx_process.load(Ordering::Relaxed) {
        0 | 3 => c_int::try_from(ngx_worker.load(Ordering::Relaxed)).unwrap_or(-1),
        _ => -1,
    }
}
