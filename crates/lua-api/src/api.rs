//! The `ngx` API: one group a file.

pub mod arg;
pub mod capture;
pub mod control;
pub mod output;
pub mod status;

use crate::host::Requests;
use lua::{Group, PhaseSet};
use lua_session::Protocol;

/// Phases in which a response may be begun.
pub(crate) const ANSWERING: PhaseSet = Requests::SERVING;

pub use lua_lib::ANYWHERE;

/// Groups that others build on.
pub(crate) fn core_groups() -> Vec<Group> {
    let mut groups = vec![lua_session::ctx::group::<Requests>(), capture::group(), status::group(), output::group()];
    groups.extend(control::groups());
    groups.push(arg::group());
    groups
}
