//! A machine with all libraries, for which nothing runs.

use crate::{Subsystem, groups};

/// The values of a list of Lua expressions, joined by spaces.
pub(crate) fn evaluate(expressions: &str) -> String {
    lua::evaluate(&groups(Subsystem::Http), expressions).expect("the expressions run")
}
