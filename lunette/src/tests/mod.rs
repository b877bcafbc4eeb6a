//! A server for tests, and samples of what it takes to add something: each is one file, and here is the line that names it.

mod directive;
pub(crate) mod running;
mod variable;

use http::Module;
use std::rc::Rc;

/// The modules with the samples among them: one is a module that has got a directive more, the other is new.
pub(crate) fn among(modules: &[Module]) -> Rc<[Module]> {
    let extended = modules.iter().map(|module| if module.name == directive::MODULE.name { directive::MODULE } else { *module });
    extended.chain([variable::MODULE]).collect()
}
