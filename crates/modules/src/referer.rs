//! `valid_referers` and `$invalid_referer` (nginx manual, `ngx_http_referer_module`).

use crate::map::table::{AddError, Table};
use conf::context::{Arity, Context};
use conf::row::{Cx, Row};
use conf::scope::Config;
use conf::tree::{Error, Span};
use http::core::{ServerCore, ServerName};
use http::module::Attach;
use http::variables::getter;
use http::{Levels, Module, Regex, Request, Variables};
use std::rc::Rc;

/// `valid_referers`.
pub const MODULE: Module = Module { rows, levels: Levels::location_only::<Referers>, variables, attach, ..Module::named("referer") };

#[derive(Default)]
struct Referers {
    /// Where the last `valid_referers` stands.
    position: Option<Span>,
    none: bool,
    blocked: bool,
    server_names: bool,
    /// Hosts with the path that must follow; an empty one accepts all.
    hosts: Rc<Table<Rc<[u8]>>>,
    host_count: usize,
    regexes: Vec<Rc<Regex>>,
}

impl Config for Referers {
    fn inherit(&mut self, parent: &Self) {
        if self.position.is_some() || parent.position.is_none() {
            return;
        }
        self.position = parent.position;
        (self.none, self.blocked, self.server_names) = (parent.none, parent.blocked, parent.server_names);
        self.hosts = parent.hosts.clone();
        self.host_count = parent.host_count;
        self.regexes.clone_from(&parent.regexes);
    }
}

fn rows() -> Vec<Row> {
    let contexts = Context::SERVER | Context::LOCATION;
    let number = |cx: &mut Cx<'_>| cx.number(0).map(drop);
    vec![
        Row::new("valid_referers", contexts, Arity::AtLeast(1), "Which Referer fields are valid.", valid_referers),
        Row::new("referer_hash_max_size", contexts, Arity::exactly(1), "Checked, without effect: the tables size themselves.", number),
        Row::new("referer_hash_bucket_size", contexts, Arity::exactly(1), "Checked, without effect: the tables size themselves.", number),
    ]
}

/// `none` and `blocked` say what else is valid beside a referer.
fn attach(at: &mut Attach<'_>) -> Result<(), Error> {
    let own = at.conf::<Referers>();
    let alone = (own.none || own.blocked) && !own.server_names && own.host_count == 0 && own.regexes.is_empty();
    match own.position {
        Some(position) if alone => {
            let message =
                "the \"none\" or \"blocked\" referers are specified in the \"valid_referers\" directive without any valid referer";
            Err(Error::new(message, position))
        }
        _ => Ok(()),
    }
}

fn variables(variables: &mut Variables) {
    let get = getter(|request, out| {
        if !is_valid(request, &request.conf::<Referers>()) {
            out.push(b'1');
        }
        true
    });
    variables.define("invalid_referer", session::variable::CHANGEABLE, get);
}

fn valid_referers(cx: &mut Cx<'_>) -> Result<(), Error> {
    let mut own = cx.location::<Referers>();
    own.position = Some(cx.directive.name.span);
    for i in 0..cx.args().len() {
        match cx.arg(i) {
            b"" => return Err(cx.error_at(i, "invalid referer \"\"")),
            b"none" => own.none = true,
            b"blocked" => own.blocked = true,
            b"server_names" => own.server_names = true,
            b"~" => return Err(cx.error_at(i, "empty regex in \"~\"")),
            [b'~', pattern @ ..] => {
                let regex = Regex::new(pattern, true, &mut cx.global::<Variables>()).map_err(|message| cx.error_at(i, message))?;
                own.regexes.push(Rc::new(regex));
            }
            text => {
                let slash = memchr::memchr(b'/', text).unwrap_or(text.len());
                let (host, path) = text.split_at(slash);
                let added = Rc::get_mut(&mut own.hosts).map_or(Ok(()), |hosts| hosts.add_host(host, path.into()));
                added.map_err(|refused| {
                    let host = String::from_utf8_lossy(host);
                    cx.error_at(
                        i,
                        match refused {
                            AddError::Invalid => format!("invalid hostname or wildcard \"{host}\""),
                            AddError::Conflict => format!("conflicting parameter \"{host}\""),
                        },
                    )
                })?;
                own.host_count += 1;
            }
        }
    }
    Ok(())
}

fn is_valid(request: &Request, own: &Referers) -> bool {
    if own.host_count == 0 && own.regexes.is_empty() && !own.server_names {
        return true;
    }
    let headers = request.headers.borrow();
    let Some(value) = headers.get(b"referer") else { return own.none };
    let Some(rest) = without_scheme(value) else { return own.blocked };
    let end = rest.iter().position(|b| matches!(b, b'/' | b':')).unwrap_or(rest.len());
    let (host, tail) = rest.split_at(end);
    // Longer than any host name (RFC 1035 section 2.3.4).
    if host.len() > 256 {
        return false;
    }
    let host = host.to_ascii_lowercase();
    if let Some(path) = own.hosts.find(&host) {
        let slash = tail.iter().position(|b| *b == b'/').unwrap_or(tail.len());
        return tail.get(slash..).is_some_and(|uri| uri.starts_with(path));
    }
    (own.server_names && is_own_name(request, &host)) || own.regexes.iter().any(|regex| regex.is_match(rest))
}

fn without_scheme(value: &[u8]) -> Option<&[u8]> {
    const SHORTEST: usize = "http://i.ru".len();
    let after = |scheme: &[u8]| {
        let (head, rest) = value.split_at_checked(scheme.len())?;
        head.eq_ignore_ascii_case(scheme).then_some(rest)
    };
    if value.len() < SHORTEST { None } else { after(b"http://").or_else(|| after(b"https://")) }
}

/// Whether the host is one of the server's names.
fn is_own_name(request: &Request, host: &[u8]) -> bool {
    let server = request.server();
    let Some(core) = server.conf.get::<ServerCore>() else { return false };
    core.names.iter().any(|name| match name {
        ServerName::Exact(name) => **name == *host,
        ServerName::Leading(suffix) => host.len() > suffix.len() && host.ends_with(suffix),
        ServerName::Trailing(prefix) => host.len() > prefix.len() && host.starts_with(prefix),
        ServerName::Regex(regex) => regex.is_match(host),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn schemes() {
        assert_eq!(without_scheme(b"HTTP://example.org/x"), Some(&b"example.org/x"[..]));
        assert_eq!(without_scheme(b"https://a.ru/"), Some(&b"a.ru/"[..]));
        assert_eq!(without_scheme(b"http://a"), None);
        assert_eq!(without_scheme(b"ftp://example.org"), None);
    }
}
