//! `memc_pass`: a memcached server whose commands come from variables.

use crate::dialect::memc::{Memc, Names};
use crate::family;
use crate::pass::Kind;
use crate::place::{self, PassConf, Protocol};
use crate::settings::next;
use conf::context::{Arity, Context};
use conf::row::{self, Cx, Row};
use conf::scope::Config;
use conf::tree::Error;
use http::Variables;
use http::module::{Attach, Module};
use http::variables::getter;
use session::variable::by_name::get_by_name;
use session::variable::{CHANGEABLE, NO_CACHE};
use wire::memcached::line::Command;

/// The module.
pub const MODULE: Module = Module { rows, levels: place::levels::<MemcConf>, variables, attach, ..Module::named("memc") };

/// The `memc_*` directives of a block.
#[derive(Default)]
struct MemcConf {
    /// The variables, once there is a pass anywhere
    names: Option<Names>,
    /// `memc_cmds_allowed`
    allowed: Option<Vec<Command>>,
    /// `memc_flags_to_last_modified`
    flags_to_last_modified: Option<bool>,
}

impl Config for MemcConf {
    fn inherit(&mut self, parent: &Self) {
        conf::inherit!(self, parent; names, allowed, flags_to_last_modified);
    }
}

impl Protocol for MemcConf {
    const NAME: &'static str = "memc";
    const CONDITIONS: &'static [(&'static str, u32)] = &next::KEYED_WORDS;
}

type Values = PassConf<MemcConf>;

fn rows() -> Vec<Row> {
    let all = Context::HTTP_ALL;
    let inner = Context::LOCATION.union(Context::LOCATION_IF);
    let mut rows = family::some_rows::<Values>(&[
        "connect_timeout",
        "send_timeout",
        "read_timeout",
        "buffer_size",
        "next_upstream",
        "ignore_client_abort",
    ]);
    rows.extend([
        Row::new("memc_pass", inner, Arity::exactly(1), "Passes commands on to a memcached server.", pass),
        Row::new("memc_cmds_allowed", all.union(inner), Arity::AtLeast(1), "Commands that a request may give.", allowed),
        row::flag::<Values>("memc_flags_to_last_modified", inner, "Takes a value's flags for its date.", |values| {
            &mut values.conf.flags_to_last_modified
        }),
        Row::new("memc_upstream_max_fails", all, Arity::exactly(1), "Not supported, as in the module.", |cx| unsupported(cx, "max_fails")),
        Row::new("memc_upstream_fail_timeout", all, Arity::exactly(1), "Not supported, as in the module.", |cx| {
            unsupported(cx, "fail_timeout")
        }),
    ]);
    rows
}

fn unsupported(cx: &Cx<'_>, parameter: &str) -> Result<(), Error> {
    Err(cx.error(format!(
        "\"{}\" is not supported, use the \"{parameter}\" parameter of the \"server\" directive inside the \"upstream\" block",
        cx.name()
    )))
}

fn pass(cx: &mut Cx<'_>) -> Result<(), Error> {
    let kind = Kind::Group { module: "memc", empty: "memc: handler: empty \"memc_pass\" target" };
    place::store::<MemcConf>(cx, || place::read(cx, kind))?;
    let names = {
        let mut variables = cx.global::<Variables>();
        Names {
            command: variables.index("memc_cmd"),
            key: variables.index("memc_key"),
            value: variables.index("memc_value"),
            flags: variables.index("memc_flags"),
            exptime: variables.index("memc_exptime"),
        }
    };
    cx.location::<Values>().conf.names = Some(names);
    Ok(())
}

fn allowed(cx: &mut Cx<'_>) -> Result<(), Error> {
    let mut commands = Vec::new();
    for i in 0..cx.args().len() {
        let unknown = || cx.error_at(i, format!("Unknown memcached command \"{}\" used in \"memc_cmds_allowed\"", cx.text(i)));
        commands.push(Command::of(cx.arg(i)).ok_or_else(unknown)?);
    }
    cx.location::<Values>().conf.allowed = Some(commands);
    Ok(())
}

fn variables(variables: &mut Variables) {
    for name in ["memc_cmd", "memc_key", "memc_value", "memc_flags", "memc_exptime"] {
        variables.define(name, CHANGEABLE, getter(|_, _| false));
    }
    http::variables::define(variables, "memc_flags_as_http_time", NO_CACHE, |request, out| {
        let mut flags = Vec::new();
        get_by_name(request, "memc_flags", &mut flags);
        let Some(time) = base::text::parse_number(&flags).and_then(|time| i64::try_from(time).ok()) else { return false };
        out.extend_from_slice(&wire::date::http(time));
        true
    });
}

fn attach(at: &mut Attach<'_>) -> Result<(), Error> {
    let values = at.conf::<Values>();
    let Some(names) = values.conf.names else { return Ok(()) };
    let dialect = Memc {
        names,
        allowed: values.conf.allowed.clone().unwrap_or_default(),
        flags_to_last_modified: values.conf.flags_to_last_modified.unwrap_or(false),
    };
    place::attach(at, &values, &values.family, dialect)
}
