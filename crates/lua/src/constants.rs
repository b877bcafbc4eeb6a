//! Names for numbers that rows and their glue agree on, such as what a result means: the glue writes `K.NAME`, and the binder
//! puts the number in its place, so that a name costs nothing when code runs.

use std::borrow::Cow;
use std::fmt;

/// How names of constants begin in glue.
const MARK: &[u8] = b"K.";

fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_'
}

/// The glue names a constant that its rows do not have.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct UnknownConstant(String);

impl fmt::Display for UnknownConstant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "no constant is called {}", self.0)
    }
}

impl std::error::Error for UnknownConstant {}

/// The glue with numbers in the place of names.
///
/// # Errors
/// A name that is no constant's.
pub(crate) fn resolve<'a>(glue: &'a str, constants: &[(&str, i32)]) -> Result<Cow<'a, [u8]>, UnknownConstant> {
    let glue = glue.as_bytes();
    let mut out = Vec::new();
    let mut copied = 0;
    for at in memchr::memmem::find_iter(glue, MARK) {
        if at > 0 && glue.get(at - 1).is_some_and(|before| is_word(*before) || *before == b'.') {
            continue;
        }
        let from = at + MARK.len();
        let rest = glue.get(from..).unwrap_or_default();
        let name = rest.get(..rest.iter().take_while(|byte| is_word(**byte)).count()).unwrap_or_default();
        let found = constants.iter().find(|(known, _)| known.as_bytes() == name);
        let (_, number) = found.ok_or_else(|| UnknownConstant(String::from_utf8_lossy(name).into_owned()))?;
        out.extend_from_slice(glue.get(copied..at).unwrap_or_default());
        // In parentheses, because a minus behind a minus would begin a comment.
        out.extend_from_slice(format!("({number})").as_bytes());
        copied = from + name.len();
    }
    if copied == 0 {
        return Ok(glue.into());
    }
    out.extend_from_slice(glue.get(copied..).unwrap_or_default());
    Ok(out.into())
}

#[cfg(test)]
mod tests {
    use super::{UnknownConstant, resolve};

    #[test]
    fn names_become_numbers() {
        let constants = [("FAILED", -1), ("FAILED_TWICE", -2)];
        let text = |glue: &str| resolve(glue, &constants).map(|text| String::from_utf8_lossy(&text).into_owned());
        assert_eq!(text("x == K.FAILED or x==-K.FAILED_TWICE").as_deref(), Ok("x == (-1) or x==-(-2)"));
        assert_eq!(text("OK.x = t.K.x").as_deref(), Ok("OK.x = t.K.x"));
        assert_eq!(text("K.FAIL").as_deref(), Err(&UnknownConstant("FAIL".to_owned())));
    }
}
