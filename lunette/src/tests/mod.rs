//! A server for tests, and samples of what it takes to add a feature: each is one file, and here is the line that registers it.

mod directive;
mod filters;
pub(crate) mod running;
mod variable;

/// The client that tests of the whole program have too.
#[allow(dead_code, reason = "those use all of it")]
#[path = "../../tests/rig/quic.rs"]
pub(crate) mod quic;

/// Longer than anything takes on a busy machine; only failures wait this long.
pub(crate) const PATIENCE: std::time::Duration = std::time::Duration::from_secs(60);

use http::Module;
use std::rc::Rc;

/// The modules with the samples among them: one is a module that has got a directive more, the other is new.
pub(crate) fn among(modules: &[Module]) -> Rc<[Module]> {
    let extended = modules.iter().map(|module| if module.name == directive::MODULE.name { directive::MODULE } else { *module });
    extended.chain([variable::MODULE, filters::MODULE]).collect()
}
