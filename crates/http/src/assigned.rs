//! Variables that directives assign (`set`, `set_by_lua`, `set_md5` and the like): what they are until that happens.

use crate::log_request;
use crate::request::Request;
use crate::variables::{Get, Variables, getter};
use base::log::Level;
use conf::scope::Config;
use conf::tree::SettingError;
use session::variable::{CHANGEABLE, VarIndex, WEAK};

/// `uninitialized_variable_warn`.
#[derive(Default)]
pub struct UnassignedWarning {
    /// Whether they are warned of, as they are by default.
    pub on: Option<bool>,
}

impl Config for UnassignedWarning {
    fn inherit(&mut self, parent: &Self) {
        conf::inherit!(self, parent; on);
    }
}

/// Defines a variable that a directive assigns.
///
/// # Errors
/// `the duplicate "x" variable` when a module's own variable has that name and may not be changed.
pub fn define(variables: &mut Variables, name: &str) -> Result<VarIndex, SettingError> {
    let index = variables.add(name, None, CHANGEABLE | WEAK)?;
    variables.define_default(name, unassigned(name));
    Ok(index)
}

/// The getter of a variable that has not been assigned: it is empty, with a warning.
pub fn unassigned(name: &str) -> Get {
    let name = name.to_ascii_lowercase();
    getter(move |request: &Request, _| {
        if request.conf::<UnassignedWarning>().on.unwrap_or(true) {
            log_request!(request, Level::Warn, "using uninitialized \"{name}\" variable");
        }
        true
    })
}
