//! `map`: a variable whose value depends on another value (nginx manual, `ngx_http_map_module`).

pub(crate) mod table;

use crate::block;
use crate::compile::{complex, complex_of};
use conf::context::Arity;
use conf::row::{Cx, Row};
use conf::tree::{Directive, Error};
use http::{Module, Request};
use session::variable::NO_CACHE;
use session::{Complex, Configured, Regex, Session, Variables};
use std::cell::Cell;
use std::rc::Rc;
use table::{AddError, Table};

/// `map`.
pub const MODULE: Module = Module { rows: rows::<Request>, ..Module::named("map") };

/// `map` of streams.
pub const STREAM: stream::Module = stream::Module { rows: rows::<stream::Session>, ..stream::Module::named("map") };

fn rows<S: Configured>() -> Vec<Row> {
    let number = |cx: &mut Cx<'_>| cx.number(0).map(drop);
    vec![
        Row::new("map", S::OUTERMOST, Arity::exactly(2), "A variable that depends on another value.", map::<S>).with_block(),
        Row::new("map_hash_max_size", S::OUTERMOST, Arity::exactly(1), "Checked, without effect: the tables size themselves.", number),
        Row::new("map_hash_bucket_size", S::OUTERMOST, Arity::exactly(1), "Checked, without effect: the tables size themselves.", number),
    ]
}

/// A finished map.
struct Map<S> {
    source: Complex<S>,
    hostnames: bool,
    table: Table<Rc<Complex<S>>>,
    regexes: Vec<(Regex<S>, Rc<Complex<S>>)>,
    default: Option<Rc<Complex<S>>>,
    volatile: bool,
}

fn map<S: Session>(cx: &mut Cx<'_>) -> Result<(), Error> {
    let source = complex(cx, 0)?;
    let name = block::variable_name(cx, 1)?;
    let mut map = Map { source, hostnames: false, table: Table::default(), regexes: Vec::new(), default: None, volatile: false };
    for directive in block::entries(cx)? {
        map.add(cx, directive)?;
    }
    let flags = if map.volatile { NO_CACHE } else { 0 };
    block::define(cx, &name, flags, Rc::new(move |session: &S, out| map.get(session, out)))
}

impl<S: Session> Map<S> {
    fn add(&mut self, cx: &Cx<'_>, directive: &Directive) -> Result<(), Error> {
        let words = block::words(directive);
        let (key, value) = match *words {
            [b"hostnames"] => {
                self.hostnames = true;
                return Ok(());
            }
            [b"volatile"] => {
                self.volatile = true;
                return Ok(());
            }
            [key, value] => (key, value),
            _ => return Err(block::error(directive, "invalid number of the map parameters")),
        };
        let value = Rc::new(complex_of(cx, usize::MAX, value).map_err(|e| block::error(directive, e.message))?);
        if key == b"default" {
            if self.default.replace(value).is_some() {
                return Err(block::error(directive, "duplicate default map parameter"));
            }
            return Ok(());
        }
        if let Some(pattern) = key.strip_prefix(b"~") {
            let caseless = pattern.strip_prefix(b"*");
            let regex = Regex::new(caseless.unwrap_or(pattern), caseless.is_some(), &mut cx.global::<Variables<S>>());
            self.regexes.push((regex.map_err(|message| block::error(directive, message))?, value));
            return Ok(());
        }
        let key = key.strip_prefix(b"\\").unwrap_or(key);
        let added = if self.hostnames { self.table.add_host(key, value) } else { self.table.add(key, value) };
        added.map_err(|refused| {
            let key = String::from_utf8_lossy(key);
            block::error(
                directive,
                match refused {
                    AddError::Invalid => format!("invalid hostname or wildcard \"{key}\""),
                    AddError::Conflict => format!("conflicting parameter \"{key}\""),
                },
            )
        })
    }

    fn get(&self, session: &S, out: &mut Vec<u8>) -> bool {
        thread_local!(static BUFFERS: Cell<(Vec<u8>, Vec<u8>)> = const { Cell::new((Vec::new(), Vec::new())) });
        let (mut text, mut lower) = BUFFERS.take();
        text.clear();
        self.source.eval(session, &mut text);
        if self.hostnames && text.last() == Some(&b'.') {
            text.pop();
        }
        let exact = if self.table.is_empty() {
            None
        } else {
            lower.clear();
            lower.extend_from_slice(&text);
            lower.make_ascii_lowercase();
            self.table.find(&lower)
        };
        let found = exact.or_else(|| self.match_regex(session, &text)).or(self.default.as_ref());
        BUFFERS.set((text, lower));
        if let Some(value) = found {
            value.eval(session, out);
        }
        true
    }

    fn match_regex(&self, session: &S, text: &[u8]) -> Option<&Rc<Complex<S>>> {
        if text.is_empty() {
            return None;
        }
        self.regexes.iter().find(|(regex, _)| regex.exec(session, text)).map(|(_, value)| value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bare_tests::{Bare, Setup};

    #[test]
    fn values_of_clients() {
        let block = r"map $addr $v { default other:$addr; 10.0.0.1 one; ~^10\.(?<second>\d+)\. ten-$second; ~*^UNIX unix; }
            map $v $twice { one 1; ~^ten-(.)$ $1; } map $addr $suffix { hostnames; *.7 seven; volatile; }";
        let setup = Setup::read(block, rows::<Bare>(), |_| {}).unwrap();
        let table = [
            ("10.0.0.1", ["one", "1", ""]),
            ("10.3.0.1", ["ten-3", "3", ""]),
            ("192.0.2.7", ["other:192.0.2.7", "", "seven"]),
            ("unix:", ["unix", "", ""]),
        ];
        for (address, expected) in table {
            let client = setup.client(address, None);
            let found = ["v", "twice", "suffix"].map(|name| client.variable(name).unwrap());
            assert_eq!(found, expected, "{address}");
        }
    }

    #[test]
    fn what_is_refused() {
        let table = [
            ("map $addr v { }", "invalid variable name \"v\""),
            ("map $addr $v { a b c; }", "invalid number of the map parameters"),
            ("map $addr $v { a b { } }", "unexpected \"{\""),
            ("map $addr $v { default a; default b; }", "duplicate default map parameter"),
            ("map $addr $v { a b; A c; }", "conflicting parameter \"A\""),
            ("map $addr $v { hostnames; *.*.x b; }", "invalid hostname or wildcard \"*.*.x\""),
            ("map $nothing $v { }", "unknown \"nothing\" variable"),
        ];
        for (text, expected) in table {
            assert_eq!(Setup::read(text, rows::<Bare>(), |_| {}).err().unwrap_or_default(), expected, "{text}");
        }
    }
}
