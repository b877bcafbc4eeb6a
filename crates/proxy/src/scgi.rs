//! `scgi_pass`: SCGI applications.

use crate::dialect::scgi::Scgi;
use crate::family::Member;
use crate::gateway::{self, Common, Gateway};
use crate::route::{Route, Routed};
use crate::settings::{Family, next};
use conf::row::Row;
use conf::scope::Config;
use conf::tree::Error;
use http::module::{Attach, Levels, Module};
use std::cell::OnceCell;
use std::rc::Rc;

/// The module.
pub const MODULE: Module = Module { rows, levels, complete: gateway::complete::<Values>, attach, ..Module::named("scgi") };

/// What a block says of `scgi_*`.
#[derive(Default)]
struct Values {
    common: Common,
}

impl Config for Values {
    fn inherit(&mut self, parent: &Self) {
        self.common.inherit(&parent.common);
    }
}

impl Member for Values {
    const PREFIX: &'static str = "scgi";
    const NEXT: &'static [(&'static str, u32)] = &next::GATEWAY_WORDS;

    fn family(&mut self) -> &mut Family {
        &mut self.common.family
    }
}

impl Gateway for Values {
    const SCHEME: &'static str = "";
    const HIDDEN: &'static [&'static str] = &gateway::WITH_STATUS;

    fn common(&mut self) -> &mut Common {
        &mut self.common
    }
}

impl Routed for Values {
    fn route(&self) -> &OnceCell<Rc<Route>> {
        &self.common.route
    }
}

fn rows() -> Vec<Row> {
    gateway::rows::<Values>(false)
}

fn levels(levels: &mut Levels) {
    levels.location::<Values>();
}

fn attach(at: &mut Attach<'_>) -> Result<(), Error> {
    let values = at.conf::<Values>();
    gateway::attach::<Values, _>(at, &values.common, |params| Scgi { params })
}
