//! `allow` and `deny`: access by address (nginx manual, `ngx_http_access_module`).

use crate::cidr::Cidr;
use conf::context::{Arity, Context};
use conf::row::{Cx, Row};
use conf::scope::Config;
use conf::tree::Error;
use http::{Attach, Levels, Module, Outcome, Phase, Request};
use session::{Client, Configured};

/// `allow` and `deny`. First in the access phase.
pub const MODULE: Module =
    Module { rows: || rows::<Request>(Context::LIMIT_EXCEPT), levels: Levels::location_only::<Rules>, attach, ..Module::named("access") };

/// `allow` and `deny` of streams.
pub const STREAM: stream::Module = stream::Module {
    rows: || rows::<stream::Session>(Context::empty()),
    levels: Levels::location_only::<Rules>,
    attach: attach_stream,
    ..stream::Module::named("access")
};

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

/// `beside`: where the directives may stand beside the protocol's usual blocks.
fn rows<S: Configured>(beside: Context) -> Vec<Row> {
    let contexts = S::BLOCKS | beside;
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

fn attach(place: &mut Attach<'_>) -> Result<(), Error> {
    let own = place.conf::<Rules>();
    if own.list.is_some() {
        place.phase(Phase::Access, move |request| check(request, own.list.as_deref().unwrap_or_default()).into());
    }
    Ok(())
}

fn attach_stream(place: &mut stream::Attach<'_>) -> Result<(), Error> {
    let own = place.conf::<Rules>();
    if own.list.is_some() {
        place.phase(stream::Phase::Access, move |session| check_stream(session, own.list.as_deref().unwrap_or_default()).into());
    }
    Ok(())
}

fn check_stream(session: &stream::Session, rules: &[Rule]) -> Outcome {
    match allows(session, rules) {
        None => Outcome::Declined,
        Some(true) => Outcome::Ok,
        Some(false) => forbid(session),
    }
}

/// With `satisfy any` another module may still let the client in; the engine logs at the end.
fn check(request: &Request, rules: &[Rule]) -> Outcome {
    match allows(request, rules) {
        None => Outcome::Declined,
        Some(true) => Outcome::Ok,
        Some(false) if request.core().satisfy_any.unwrap_or(false) => Outcome::Status(403),
        Some(false) => forbid(request),
    }
}

/// What the first rule for the client says.
fn allows<S: Client>(session: &S, rules: &[Rule]) -> Option<bool> {
    let client = session.client();
    rules.iter().find(|rule| rule.network.is_none_or(|network| network.contains(&client))).map(|rule| !rule.deny)
}

fn forbid<S: Client>(session: &S) -> Outcome {
    session.log(base::log::Level::Error, b"access forbidden by rule");
    Outcome::Status(403)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bare_tests::{Bare, Setup};

    #[test]
    fn the_first_rule_decides() {
        let table = [
            ("deny 10.0.0.0/8; allow all;", "10.0.0.1", Some(false)),
            ("deny 10.0.0.0/8; allow all;", "192.0.2.1", Some(true)),
            ("allow 10.0.0.0/8;", "192.0.2.1", None),
            ("allow 2001:db8::/32; deny all;", "2001:db8::1", Some(true)),
            ("allow unix:; deny all;", "unix:", Some(true)),
            ("allow unix:; deny all;", "127.0.0.1", Some(false)),
        ];
        for (text, address, expected) in table {
            let setup = Setup::read(text, rows::<Bare>(Context::empty()), |configs| configs.register::<Rules>()).unwrap();
            let client = setup.client(address, None);
            let rules = client.conf::<Rules>();
            assert_eq!(allows(&client, rules.list.as_deref().unwrap()), expected, "{text} for {address}");
        }
        let refused = Setup::read("allow 10.0.0.0/33;", rows::<Bare>(Context::empty()), |_| {}).err();
        assert_eq!(refused.as_deref(), Some("invalid parameter \"10.0.0.0/33\""));
    }

    #[test]
    fn who_is_forbidden_is_logged() {
        let client = Setup::read("", Vec::new(), |_| {}).unwrap().client("10.0.0.1", None);
        assert_eq!(forbid(&client), Outcome::Status(403));
        assert_eq!(*client.lines.borrow(), ["access forbidden by rule"]);
    }
}
