//! Shorthands to define variables of sessions.

use crate::session::Session;
use session::variable;
use std::rc::Rc;

/// The variables of sessions.
pub type Variables = session::Variables<Session>;
/// A complex value of variables of sessions.
pub type Complex = session::Complex<Session>;
/// A regular expression whose groups become variables of sessions.
pub type Regex = session::Regex<Session>;
/// A session's values.
pub type Cache = session::Cache<Session>;
/// Gives the value of a session's variable.
pub type Get = variable::Get<Session>;
/// A name of a server.
pub type ServerName = session::names::ServerName<Session>;

/// Defines a variable of sessions.
pub fn define(variables: &mut Variables, name: &str, flags: u8, f: fn(&Session, &mut Vec<u8>) -> bool) {
    variables.define(name, flags, Rc::new(f));
}
