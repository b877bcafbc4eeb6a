//! `map`: a variable whose value depends on another value (nginx manual, `ngx_http_map_module`).

pub(crate) mod table;

use crate::block;
use crate::rewrite::{compile, compile_bytes};
use conf::context::{Arity, Context};
use conf::row::{Cx, Row};
use conf::tree::{Directive, Error};
use http::{Complex, Module, Regex, Request, Variables};
use session::variable::NO_CACHE;
use std::cell::Cell;
use std::rc::Rc;
use table::{Refused, Table};

/// `map`.
pub const MODULE: Module = Module { rows, ..Module::named("map") };

fn rows() -> Vec<Row> {
    let number = |cx: &mut Cx<'_>| cx.number(0).map(drop);
    vec![
        Row::new("map", Context::HTTP, Arity::exactly(2), "A variable that depends on another value.", map).with_block(),
        Row::new("map_hash_max_size", Context::HTTP, Arity::exactly(1), "Checked, without effect: the tables size themselves.", number),
        Row::new("map_hash_bucket_size", Context::HTTP, Arity::exactly(1), "Checked, without effect: the tables size themselves.", number),
    ]
}

/// A finished map.
struct Map {
    source: Complex,
    hostnames: bool,
    table: Table<Rc<Complex>>,
    regexes: Vec<(Regex, Rc<Complex>)>,
    default: Option<Rc<Complex>>,
    volatile: bool,
}

fn map(cx: &mut Cx<'_>) -> Result<(), Error> {
    let source = compile(cx, 0)?;
    let name = block::variable_name(cx, 1)?;
    let mut map = Map { source, hostnames: false, table: Table::default(), regexes: Vec::new(), default: None, volatile: false };
    for directive in block::entries(cx) {
        map.add(cx, directive)?;
    }
    let flags = if map.volatile { NO_CACHE } else { 0 };
    block::define(cx, &name, flags, Rc::new(move |request, out| map.get(request, out)))
}

impl Map {
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
        let value = Rc::new(compile_bytes(cx, usize::MAX, value).map_err(|e| block::error(directive, e.message))?);
        if key == b"default" {
            if self.default.replace(value).is_some() {
                return Err(block::error(directive, "duplicate default map parameter"));
            }
            return Ok(());
        }
        if let Some(pattern) = key.strip_prefix(b"~") {
            let caseless = pattern.strip_prefix(b"*");
            let regex = Regex::new(caseless.unwrap_or(pattern), caseless.is_some(), &mut cx.global::<Variables>());
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
                    Refused::Invalid => format!("invalid hostname or wildcard \"{key}\""),
                    Refused::Conflict => format!("conflicting parameter \"{key}\""),
                },
            )
        })
    }

    fn get(&self, request: &Request, out: &mut Vec<u8>) -> bool {
        thread_local!(static BUFFERS: Cell<(Vec<u8>, Vec<u8>)> = const { Cell::new((Vec::new(), Vec::new())) });
        let (mut text, mut lower) = BUFFERS.take();
        text.clear();
        self.source.eval(request, &mut text);
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
        let found = exact.or_else(|| self.match_regex(request, &text)).or(self.default.as_ref());
        BUFFERS.set((text, lower));
        if let Some(value) = found {
            value.eval(request, out);
        }
        true
    }

    fn match_regex(&self, request: &Request, text: &[u8]) -> Option<&Rc<Complex>> {
        if text.is_empty() {
            return None;
        }
        self.regexes.iter().find(|(regex, _)| regex.exec(request, text)).map(|(_, value)| value)
    }
}
