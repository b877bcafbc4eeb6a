//! `scgi_pass`: SCGI applications.

use crate::destination;
use crate::dialect::scgi::Scgi;
use crate::gateway::{self, Gateway, GatewayConf};
use conf::scope::Config;
use http::module::Module;

/// The module.
pub const MODULE: Module = Module {
    rows: || gateway::rows::<ScgiConf>(false),
    levels: destination::levels::<GatewayConf<ScgiConf>>,
    complete: gateway::complete::<ScgiConf>,
    attach: |at| gateway::attach(at, |params, _: &ScgiConf| Scgi { params }),
    ..Module::named("scgi")
};

/// SCGI has nothing of its own.
#[derive(Default)]
struct ScgiConf;

impl Config for ScgiConf {
    fn inherit(&mut self, _: &Self) {}
}

impl Gateway for ScgiConf {
    const NAME: &'static str = "scgi";
    const SCHEME: &'static str = "";
    const HIDDEN: &'static [&'static str] = &gateway::WITH_STATUS;
}
