//! Values with variables in the arguments of directives.

use conf::row::Cx;
use conf::tree::Error;
use session::{Complex, Session, Variables};

/// Argument `i` as a value with variables.
///
/// # Errors
/// The texts of [`Complex::compile`].
pub(crate) fn complex<S: Session>(cx: &Cx<'_>, i: usize) -> Result<Complex<S>, Error> {
    complex_of(cx, i, cx.arg(i))
}

/// A part of argument `i` as a value with variables.
///
/// # Errors
/// The texts of [`Complex::compile`].
pub(crate) fn complex_of<S: Session>(cx: &Cx<'_>, i: usize, text: &[u8]) -> Result<Complex<S>, Error> {
    Complex::compile(text, &mut cx.global::<Variables<S>>()).map_err(|message| cx.error_at(i, message))
}
