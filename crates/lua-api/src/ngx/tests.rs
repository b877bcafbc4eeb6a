//! A machine with the whole API, without a request.

use crate::groups;

/// The values of a list of Lua expressions, joined by spaces.
pub(crate) fn evaluate(expressions: &str) -> String {
    lua::evaluate(&groups(), expressions).expect("the expressions run")
}
