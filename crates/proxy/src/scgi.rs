//! `scgi_pass`: SCGI applications.

use crate::dialect::scgi::Scgi;

use crate::gateway::{self, Common, Gateway};
use crate::place::{HasPass, PassValues};
use crate::settings::next;
use conf::row::Row;
use conf::scope::Config;
use conf::tree::Error;
use http::module::{Attach, Levels, Module};

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

impl HasPass for Values {
    const PROTOCOL: &'static str = "scgi";
    const CONDITIONS: &'static [(&'static str, u32)] = &next::GATEWAY_WORDS;

    fn values(&self) -> &PassValues {
        &self.common.own
    }

    fn values_mut(&mut self) -> &mut PassValues {
        &mut self.common.own
    }
}

impl Gateway for Values {
    const SCHEME: &'static str = "";
    const HIDDEN: &'static [&'static str] = &gateway::WITH_STATUS;

    fn common(&mut self) -> &mut Common {
        &mut self.common
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
    gateway::attach::<Values, _>(at, &*values, &values.common, |params| Scgi { params })
}
