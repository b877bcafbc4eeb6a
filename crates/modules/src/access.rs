//! `allow` and `deny`: access by address (nginx manual, `ngx_http_access_module`).

use crate::cidr::Cidr;
use conf::context::{Arity, Context};
use conf::row::{Cx, Row};
use conf::scope::Config;
use conf::tree::Error;
use http::{Attach, Levels, Module, Outcome, Phase, Request};
use std::rc::Rc;

/// `allow` and `deny`. First in the access phase.
pub const MODULE: Module = Module { rows, levels, attach, ..Module::named("access") };

#[derive(Clone, Copy)]
struct Rule {
    /// `None` is `all`.
    network: Option<Cidr>,
    deny: bool,
}

#[derive(Default)]
struct Rules {
    list: Option<Vec<Rule>>,
}

impl Config for Rules {
    fn inherit(&mut self, parent: &Self) {
        conf::inherit!(self, parent; list);
    }
}

fn rows() -> Vec<Row> {
    let contexts = Context::HTTP_ALL | Context::LIMIT_EXCEPT;
    vec![
        Row::new("allow", contexts, Arity::exactly(1), "Allows a network.", |cx| rule(cx, false)),
        Row::new("deny", contexts, Arity::exactly(1), "Denies a network.", |cx| rule(cx, true)),
    ]
}

fn rule(cx: &mut Cx<'_>, deny: bool) -> Result<(), Error> {
    let network = match cx.arg(0) {
        b"all" => None,
        b"unix:" => Some(Cidr::Unix),
        text => Some(Cidr::read(text, |warning| cx.warn(warning)).ok_or_else(|| cx.invalid_parameter(0))?),
    };
    cx.location::<Rules>().list.get_or_insert_default().push(Rule { network, deny });
    Ok(())
}

fn levels(levels: &mut Levels) {
    levels.location::<Rules>();
}

fn attach(place: &mut Attach<'_>) -> Result<(), Error> {
    let own = place.conf::<Rules>();
    if own.list.is_some() {
        place.phase(Phase::Access, move |request| check(request, own.list.as_deref().unwrap_or_default()).into());
    }
    Ok(())
}

fn check(request: &Rc<Request>, rules: &[Rule]) -> Outcome {
    let denied = {
        let client = request.client.borrow();
        rules.iter().find(|rule| rule.network.is_none_or(|network| network.contains(&client))).map(|rule| rule.deny)
    };
    match denied {
        None => Outcome::Declined,
        Some(false) => Outcome::Ok,
        Some(true) => {
            // With `satisfy any` another module may still let the client in; the engine logs at the end.
            if !request.core().satisfy_any.unwrap_or(false) {
                request.log(base::log::Level::Error, b"access forbidden by rule");
            }
            Outcome::Status(403)
        }
    }
}
