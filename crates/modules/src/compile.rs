//! Values with variables in the arguments of directives.

use conf::row::Cx;
use conf::tree::Error;
use http::{Complex, Variables};

/// Argument `i` as a value with variables.
///
/// # Errors
/// The texts of [`Complex::compile`].
pub(crate) fn complex(cx: &Cx<'_>, i: usize) -> Result<Complex, Error> {
    complex_of(cx, i, cx.arg(i))
}

/// A part of argument `i` as a value with variables.
///
/// # Errors
/// The texts of [`Complex::compile`].
pub(crate) fn complex_of(cx: &Cx<'_>, i: usize, text: &[u8]) -> Result<Complex, Error> {
    Complex::compile(text, &mut cx.global::<Variables>()).map_err(|message| cx.error_at(i, message))
}
