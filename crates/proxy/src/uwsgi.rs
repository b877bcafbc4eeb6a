//! `uwsgi_pass`: applications behind uWSGI.

use crate::dialect::uwsgi::Uwsgi;

use crate::gateway::{self, Common, Gateway};
use crate::place::{HasPass, PassValues};
use crate::settings::next;
use conf::context::{Arity, Context};
use conf::row::{Cx, Row};
use conf::scope::Config;
use conf::tree::Error;
use http::module::{Attach, Levels, Module};

/// The module.
pub const MODULE: Module = Module { rows, levels, complete: gateway::complete::<Values>, attach, ..Module::named("uwsgi") };

/// What a block says of `uwsgi_*`.
#[derive(Default)]
struct Values {
    common: Common,
    /// `uwsgi_modifier1`
    modifier1: Option<u8>,
    /// `uwsgi_modifier2`
    modifier2: Option<u8>,
    /// `uwsgi_string`
    string: Option<Box<[u8]>>,
}

impl Config for Values {
    fn inherit(&mut self, parent: &Self) {
        self.common.inherit(&parent.common);
        conf::inherit!(self, parent; modifier1, modifier2, string);
    }
}

impl HasPass for Values {
    const PROTOCOL: &'static str = "uwsgi";
    const CONDITIONS: &'static [(&'static str, u32)] = &next::GATEWAY_WORDS;

    fn values(&self) -> &PassValues {
        &self.common.own
    }

    fn values_mut(&mut self) -> &mut PassValues {
        &mut self.common.own
    }
}

impl Gateway for Values {
    const SCHEME: &'static str = "uwsgi://";
    const SECURE_SCHEME: &'static str = "suwsgi://";
    const HIDDEN: &'static [&'static str] = &gateway::ORDERS;

    fn common(&mut self) -> &mut Common {
        &mut self.common
    }
}

fn rows() -> Vec<Row> {
    let all = Context::HTTP_ALL;
    let mut rows = gateway::rows::<Values>(false);
    rows.extend([
        Row::new("uwsgi_modifier1", all, Arity::exactly(1), "First modifier of the uwsgi packet.", |cx| {
            let value = modifier(cx)?;
            cx.once(&mut cx.location::<Values>().modifier1, value)
        }),
        Row::new("uwsgi_modifier2", all, Arity::exactly(1), "Second modifier of the uwsgi packet.", |cx| {
            let value = modifier(cx)?;
            cx.once(&mut cx.location::<Values>().modifier2, value)
        }),
        Row::new("uwsgi_string", all, Arity::exactly(1), "Bytes behind the variables of the uwsgi packet.", |cx| {
            cx.once(&mut cx.location::<Values>().string, cx.arg(0).into())
        }),
    ]);
    rows
}

/// A byte; nginx takes larger numbers and sends what is left of them.
fn modifier(cx: &Cx<'_>) -> Result<u8, Error> {
    u8::try_from(cx.number(0)?).map_err(|_| cx.error_at(0, "value must be between 0 and 255"))
}

fn levels(levels: &mut Levels) {
    levels.location::<Values>();
}

fn attach(at: &mut Attach<'_>) -> Result<(), Error> {
    let values = at.conf::<Values>();
    let modifiers = [values.modifier1.unwrap_or(0), values.modifier2.unwrap_or(0)];
    let string = values.string.clone().unwrap_or_default();
    gateway::attach::<Values, _>(at, &*values, &values.common, |params| Uwsgi { params, modifiers, string })
}
