//! Fast rows: safe Rust functions that compiled Lua code calls directly through the FFI.
//!
//! Each function item becomes a C function of its own, with the context check and the panic barrier around it.
//! Arguments are up to five of `f64`, `i64`, `i32` and byte strings (a string is a pointer and a length for the
//! glue: `C.name(cx, s, #s)`).

use crate::cx::CallContext;
use std::ffi::c_void;

/// Marks a byte string among the argument shapes of a fast row.
pub struct Bytes;

/// A scalar that crosses by value.
pub trait Scalar: Copy + 'static {
    /// Its name in C.
    const C: &'static str;
}

/// A result of a fast row.
pub trait FastReturn: Copy + 'static {
    /// Its name in C.
    const C: &'static str;
    /// What the glue gets when the row was refused or panicked; the text is in the output buffer then and
    /// `cx.err` is not 0.
    const FAILED: Self;
}

macro_rules! scalars {
    ($($t:ty, $c:literal, $failed:expr;)*) => {$(
        impl Scalar for $t {
            const C: &'static str = $c;
        }
        impl FastReturn for $t {
            const C: &'static str = $c;
            const FAILED: Self = $failed;
        }
    )*};
}

scalars! {
    i32, "int32_t", i32::MIN;
    i64, "int64_t", i64::MIN;
    f64, "double", f64::NAN;
}

impl FastReturn for bool {
    const C: &'static str = "bool";
    const FAILED: Self = false;
}

impl FastReturn for () {
    const C: &'static str = "void";
    const FAILED: Self = ();
}

/// A function item that can be a fast row. `Shape` is inferred.
pub trait FastFn<Shape>: Copy + 'static {
    /// The C type of a pointer to it.
    fn declaration() -> String;
    /// The address of its C form, callable in the phases of `MASK`.
    fn address<const MASK: u32>() -> *const c_void;
}

/// The function item itself, which has no bytes.
#[inline]
fn zero_sized<F: Copy + 'static>() -> &'static F {
    const { assert!(size_of::<F>() == 0, "a fast row must be a function item or a closure without captures") }
    // SAFETY: F has no bytes, so any aligned address is a valid place of one; a value of it existed when the row was
    // made, so the type is inhabited and, being Copy, may be used any number of times.
    unsafe { std::ptr::NonNull::<F>::dangling().as_ref() }
}

/// The bytes of a Lua string given as pointer and length.
///
/// # Safety
/// Unless null, `p` points to `n` bytes that stay as they are during the call: the glue passes a Lua string, which
/// the calling frame keeps alive.
#[inline]
unsafe fn view<'a>(p: *const u8, n: usize) -> &'a [u8] {
    if p.is_null() || n == 0 {
        return &[];
    }
    // SAFETY: the caller's contract.
    unsafe { std::slice::from_raw_parts(p, n) }
}

#[inline]
fn guarded<R: FastReturn, const MASK: u32>(cx: &CallContext, body: impl FnOnce() -> R) -> R {
    if !cx.allows(MASK) {
        cx.fail(cx.refusal().message());
        return R::FAILED;
    }
    cx.fast(body).unwrap_or(R::FAILED)
}

macro_rules! build {
    ([(S $t:ident $a:ident $n:ident) $($rest:tt)*] [$($g:ident)*] [$($s:ty,)*] [$($r:ty,)*] [$($c:tt)*] [$($e:expr,)*] [$($d:expr,)*]) => {
        build! { [$($rest)*] [$($g)* $t] [$($s,)* $t,] [$($r,)* $t,] [$($c)* $a: $t,] [$($e,)* $a,] [$($d,)* <$t as Scalar>::C,] }
    };
    ([(B $t:ident $a:ident $n:ident) $($rest:tt)*] [$($g:ident)*] [$($s:ty,)*] [$($r:ty,)*] [$($c:tt)*] [$($e:expr,)*] [$($d:expr,)*]) => {
        build! { [$($rest)*] [$($g)*] [$($s,)* Bytes,] [$($r,)* &[u8],] [$($c)* $a: *const u8, $n: usize,]
            // SAFETY: the glue passes a live Lua string and its length.
            [$($e,)* unsafe { view($a, $n) },] [$($d,)* "const char *", "size_t",] }
    };
    ([] [$($g:ident)*] [$($s:ty,)*] [$($r:ty,)*] [$($c:tt)*] [$($e:expr,)*] [$($d:expr,)*]) => {
        const _: () = {
            unsafe extern "C" fn entry<F, R, $($g,)* const MASK: u32>(cx: *const CallContext, $($c)*) -> R
            where
                F: Fn(&CallContext, $($r),*) -> R + Copy + 'static,
                R: FastReturn,
                $($g: Scalar,)*
            {
                // SAFETY: the glue passes the VM's own context, which lives as long as the VM.
                let cx = unsafe { &*cx };
                guarded::<R, MASK>(cx, || zero_sized::<F>()(cx, $($e),*))
            }

            impl<F, R, $($g),*> FastFn<fn($($s),*) -> R> for F
            where
                F: Fn(&CallContext, $($r),*) -> R + Copy + 'static,
                R: FastReturn,
                $($g: Scalar,)*
            {
                fn declaration() -> String {
                    let arguments: &[&str] = &["void *", $($d),*];
                    format!("{} (*)({})", <R as FastReturn>::C, arguments.join(", "))
                }
                fn address<const MASK: u32>() -> *const c_void {
                    entry::<F, R, $($g,)* MASK> as *const c_void
                }
            }
        };
    };
}

macro_rules! shapes {
    ([$($done:tt)*]) => { build! { [$($done)*] [] [] [] [] [] [] } };
    ([$($done:tt)*] ($t:ident $a:ident $n:ident) $($rest:tt)*) => {
        build! { [$($done)*] [] [] [] [] [] [] }
        shapes! { [$($done)* (S $t $a $n)] $($rest)* }
        shapes! { [$($done)* (B $t $a $n)] $($rest)* }
    };
}

shapes! { [] (T0 a0 n0) (T1 a1 n1) (T2 a2 n2) (T3 a3 n3) (T4 a4 n4) }
