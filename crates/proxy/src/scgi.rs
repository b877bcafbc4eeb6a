//! `scgi_pass`: SCGI applications.

use crate::dialect::scgi::Scgi;
use crate::gateway::{self, Gated, Gateway};
use crate::place;
use conf::scope::Config;
use http::module::Module;

/// The module.
pub const MODULE: Module = Module {
    rows: || gateway::rows::<Own>(false),
    levels: place::levels::<Gated<Own>>,
    complete: gateway::complete::<Own>,
    attach: |at| gateway::attach(at, |params, _: &Own| Scgi { params }),
    ..Module::named("scgi")
};

/// SCGI has nothing of its own.
#[derive(Default)]
struct Own;

impl Config for Own {
    fn inherit(&mut self, _: &Self) {}
}

impl Gateway for Own {
    const NAME: &'static str = "scgi";
    const SCHEME: &'static str = "";
    const HIDDEN: &'static [&'static str] = &gateway::WITH_STATUS;
}
