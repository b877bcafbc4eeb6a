//! The rules. Each looks at one directive, in its block.

use super::scope::{Scope, is_clients, variables};
use conf::tree::{Directive, Span};
use std::collections::BTreeSet;

/// What is said, and where the caret goes.
type Finding = (String, Span);

/// What all rules say of a directive.
pub(super) fn check(directive: &Directive, scope: &Scope<'_>, tainted: &BTreeSet<String>) -> Vec<Finding> {
    if directive.lua {
        return Vec::new();
    }
    let name = directive.name.text();
    let found = match &*name {
        "alias" => alias(directive, scope),
        "proxy_pass" | "fastcgi_pass" | "uwsgi_pass" | "scgi_pass" => pass(directive, scope, tainted),
        "if" => condition(directive, scope),
        "add_header" => overridden(directive, scope),
        "proxy_set_header" => host(directive),
        "set_real_ip_from" => trust(directive),
        "stub_status" | "metrics" => open_to_all(directive, scope),
        "root" => whole_system(directive),
        _ => None,
    };
    found.into_iter().collect()
}

fn alias(directive: &Directive, scope: &Scope<'_>) -> Option<Finding> {
    let target = directive.args.first()?;
    let path = match scope.args {
        [path] => path.text(),
        [sign, path] if sign.bytes == b"^~" => path.text(),
        _ => return None,
    };
    let is_open = scope.name == "location" && !path.ends_with('/') && target.text().ends_with('/');
    is_open.then(|| (format!("\"{path}../\" leads out of \"{}\": the location needs a slash at its end", target.text()), target.span))
}

/// What decides where a request goes: the address without the path.
fn address(text: &str) -> &str {
    let rest = text.split_once("://").map_or(text, |(_, rest)| rest);
    rest.split_once('/').map_or(rest, |(host, _)| host)
}

fn variable_alone(host: &str) -> bool {
    let name = host.strip_prefix('$').unwrap_or_default();
    !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_{}".contains(&byte))
}

fn pass(directive: &Directive, scope: &Scope<'_>, tainted: &BTreeSet<String>) -> Option<Finding> {
    let word = directive.args.first()?;
    let (name, text) = (directive.name.text(), word.text());
    let mut host = address(&text);
    // In "http://app$uri" the variable begins with a slash.
    if let Some((before, behind)) = host.split_once('$')
        && !before.is_empty()
        && ["uri", "request_uri", "document_uri"].contains(&behind)
    {
        host = before;
    }
    let names = variables(host);
    if let Some(taken) = names.iter().find(|name| is_clients(name, tainted)) {
        return Some((format!("\"${taken}\" lets clients choose where \"{name}\" leads"), word.span));
    }
    // A variable by itself may name a group.
    let may_be_group = variable_alone(host) && scope.has(&|name| name == "upstream");
    let is_lost = !names.is_empty() && !may_be_group && !scope.has(&|name| name == "resolver");
    is_lost.then(|| {
        let what = "there is no \"resolver\": only addresses and groups can be found at run time";
        (format!("\"{name}\" has a variable in its address, and {what}"), word.span)
    })
}

fn condition(directive: &Directive, scope: &Scope<'_>) -> Option<Finding> {
    let body = directive.body.as_ref()?;
    let ends_here = |inner: &Directive| [b"return".as_slice(), b"rewrite"].contains(&inner.name.bytes.as_slice());
    let is_trap = scope.name == "location" && scope.named("try_files").next().is_some() && !body.directives.iter().all(ends_here);
    is_trap.then(|| ("the location's \"try_files\" is not run when this \"if\" holds".to_owned(), directive.span))
}

/// Only the first `add_header` of a block speaks for all of them.
fn overridden(directive: &Directive, scope: &Scope<'_>) -> Option<Finding> {
    if scope.named("add_header").next()?.span != directive.span || scope.has(&|name| name == "add_header_inherit") {
        return None;
    }
    let field = |directive: &Directive| directive.args.first().map(|word| word.text().to_ascii_lowercase());
    let own: Vec<_> = scope.named("add_header").filter_map(field).collect();
    let around = std::iter::successors(scope.above, |scope| scope.above);
    // Of those around only the nearest level that has any would be inherited.
    let nearest = around.into_iter().find(|scope| scope.named("add_header").next().is_some())?;
    let gone: Vec<_> = nearest
        .named("add_header")
        .filter(|outer| field(outer).is_some_and(|name| !own.contains(&name)))
        .filter_map(|outer| Some(outer.args.first()?.text().into_owned()))
        .collect();
    (!gone.is_empty()).then(|| (format!("\"add_header\" of the level above is not sent here: {}", gone.join(", ")), directive.span))
}

fn host(directive: &Directive) -> Option<Finding> {
    let [name, value] = directive.args.as_slice() else { return None };
    let is_raw = name.bytes.eq_ignore_ascii_case(b"host") && variables(&value.text()).iter().any(|name| name == "http_host");
    is_raw.then(|| ("\"$http_host\" is whatever the client sent; \"$host\" is the name that the request is for".to_owned(), value.span))
}

fn trust(directive: &Directive) -> Option<Finding> {
    let word = directive.args.first()?;
    let is_all = [b"0.0.0.0/0".as_slice(), b"::/0"].contains(&word.bytes.as_slice());
    is_all.then(|| ("every client may say which address it has".to_owned(), word.span))
}

fn open_to_all(directive: &Directive, scope: &Scope<'_>) -> Option<Finding> {
    const GUARDS: [&str; 5] = ["allow", "deny", "auth_basic", "auth_request", "internal"];
    let is_guarded = scope.has(&|name| GUARDS.contains(&name) || name.starts_with("access_by_lua"));
    let name = directive.name.text();
    (!is_guarded).then(|| (format!("everybody may read \"{name}\": limit it with \"allow\" and \"deny\""), directive.span))
}

fn whole_system(directive: &Directive) -> Option<Finding> {
    let word = directive.args.first().filter(|word| word.bytes == b"/")?;
    Some(("\"root /\" offers the whole file system".to_owned(), word.span))
}
