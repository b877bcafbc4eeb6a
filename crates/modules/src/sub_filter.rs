//! `sub_filter`: replaces strings in response bodies.

use crate::compile::complex;
use crate::filtering::{Types, forget_body, type_matches};
use crate::marks;
use crate::transform::{self, PART, Transform};
use conf::context::{Arity, Context};
use conf::row::{self, Row};
use conf::scope::Config;
use http::{Attach, Complex, Levels, Module, Outcome, Request, Step};
use std::io;
use std::rc::Rc;

/// The module.
pub const MODULE: Module = Module { rows, levels: Levels::location_only::<Conf>, attach, ..Module::named("sub_filter") };

#[derive(Default)]
struct Conf {
    pairs: Option<Vec<(Complex, Complex)>>,
    once: Option<bool>,
    last_modified: Option<bool>,
    types: Option<Types>,
}

impl Config for Conf {
    fn inherit(&mut self, parent: &Self) {
        conf::inherit!(self, parent; pairs, once, last_modified, types);
    }
}

fn rows() -> Vec<Row> {
    let at = Context::HTTP_ALL;
    vec![
        Row::new("sub_filter", at, Arity::exactly(2), "A string to look for and what replaces it.", |cx| {
            if cx.arg(0).is_empty() {
                return Err(cx.error_at(0, "empty search pattern"));
            }
            let pair = (complex(cx, 0)?, complex(cx, 1)?);
            cx.location::<Conf>().pairs.get_or_insert_default().push(pair);
            Ok(())
        }),
        row::flag::<Conf>("sub_filter_once", at, "Replaces only the first occurrence of each string.", |c| &mut c.once),
        row::flag::<Conf>("sub_filter_last_modified", at, "Keeps Last-Modified.", |c| &mut c.last_modified),
        Row::new("sub_filter_types", at, Arity::AtLeast(1), "Types besides text/html that are searched.", |cx| {
            Types::add(&mut cx.location::<Conf>().types, cx);
            Ok(())
        }),
    ]
}

/// One string that is looked for.
struct Pattern {
    /// In lower case; empty strings match nowhere.
    text: Vec<u8>,
    replacement: Vec<u8>,
    spent: bool,
}

/// A search under way.
struct Search {
    patterns: Vec<Pattern>,
    once: bool,
    /// First bytes of the patterns, both cases.
    starts: [bool; 256],
    /// Bytes that may be the beginning of a match.
    tail: Vec<u8>,
    /// The last run stopped because a part was full.
    full: bool,
}

fn attach(at: &mut Attach<'_>) -> Result<(), conf::tree::Error> {
    let conf = at.conf::<Conf>();
    if conf.pairs.as_ref().is_some_and(|p| !p.is_empty()) {
        at.header_filter(move |request| header_filter(request, &conf));
        transform::attach::<Search>(at);
    }
    Ok(())
}

fn header_filter(request: &Rc<Request>, conf: &Conf) -> Step {
    let fit = {
        let response = request.response.borrow();
        response.content_length != Some(0) && type_matches(conf.types.as_ref(), &response)
    };
    if !fit {
        return Step::Now(Outcome::Ok);
    }
    let pairs = conf.pairs.as_deref().unwrap_or_default();
    let search = Search::new(pairs.iter().map(|(from, to)| (from.to_vec(&**request), to.to_vec(&**request))), conf.once.unwrap_or(true));
    if search.starts.iter().all(|s| !s) {
        return Step::Now(Outcome::Ok);
    }
    transform::begin(request, search);
    forget_body(request, conf.last_modified == Some(true));
    Step::Now(Outcome::Ok)
}

impl Transform for Search {
    const NAME: &'static str = "sub_filter";
    const MARK: u32 = marks::SUB;

    fn feed(&mut self, data: &[u8], out: &mut Vec<u8>) -> io::Result<usize> {
        if self.tail.is_empty() {
            let used = self.run(data, false, out);
            if !self.full {
                self.tail.extend_from_slice(data.get(used..).unwrap_or_default());
                return Ok(data.len());
            }
            return Ok(used);
        }
        let mut text = std::mem::take(&mut self.tail);
        text.extend_from_slice(data);
        let used = self.run(&text, false, out);
        text.drain(..used);
        self.tail = text;
        Ok(data.len())
    }

    fn pending(&self) -> bool {
        self.full
    }

    fn finish(&mut self, out: &mut Vec<u8>) -> io::Result<()> {
        let mut text = std::mem::take(&mut self.tail);
        while !text.is_empty() {
            let used = self.run(&text, true, out);
            text.drain(..used);
        }
        Ok(())
    }
}

enum At {
    Match(usize),
    Partial,
    No,
}

impl Search {
    fn new(pairs: impl Iterator<Item = (Vec<u8>, Vec<u8>)>, once: bool) -> Search {
        let mut starts = [false; 256];
        let patterns = pairs.map(|(text, replacement)| {
            let text = text.to_ascii_lowercase();
            if let Some(first) = text.first() {
                for byte in [first.to_ascii_lowercase(), first.to_ascii_uppercase()] {
                    if let Some(slot) = starts.get_mut(usize::from(byte)) {
                        *slot = true;
                    }
                }
            }
            Pattern { text, replacement, spent: false }
        });
        let patterns = patterns.collect();
        Search { patterns, once, starts, tail: Vec::new(), full: false }
    }

    /// Matches at the beginning of `text`: the first matching pattern of the configuration wins.
    fn match_at(&self, text: &[u8], end: bool) -> At {
        for (i, pattern) in self.patterns.iter().enumerate() {
            if pattern.spent || pattern.text.is_empty() {
                continue;
            }
            let have = text.len().min(pattern.text.len());
            let same = text.iter().zip(&pattern.text).all(|(a, b)| a.to_ascii_lowercase() == *b);
            if same && have == pattern.text.len() {
                return At::Match(i);
            }
            if same && !end {
                return At::Partial;
            }
        }
        At::No
    }

    /// Copies and replaces until a part is full; returns how many bytes are settled.
    fn run(&mut self, text: &[u8], end: bool, out: &mut Vec<u8>) -> usize {
        let mut at = 0;
        let mut copied = 0;
        self.full = false;
        loop {
            let rest = text.get(at..).unwrap_or_default();
            let Some(skip) = rest.iter().position(|b| self.starts.get(usize::from(*b)) == Some(&true)) else {
                at = text.len();
                break;
            };
            at += skip;
            match self.match_at(text.get(at..).unwrap_or_default(), end) {
                At::No => at += 1,
                At::Partial => break,
                At::Match(i) => {
                    out.extend_from_slice(text.get(copied..at).unwrap_or_default());
                    if let Some(pattern) = self.patterns.get_mut(i) {
                        out.extend_from_slice(&pattern.replacement);
                        pattern.spent = self.once;
                        at += pattern.text.len();
                    }
                    copied = at;
                    if out.len() >= PART {
                        self.full = true;
                        return at;
                    }
                }
            }
        }
        out.extend_from_slice(text.get(copied..at).unwrap_or_default());
        at
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn replaced(pairs: &[(&str, &str)], once: bool, text: &str, step: usize) -> String {
        let search = Search::new(pairs.iter().map(|(a, b)| (a.as_bytes().to_vec(), b.as_bytes().to_vec())), once);
        let runs = text.as_bytes().chunks(step).map(|chunk| chunk.to_vec().into()).collect();
        let (out, _) = transform::whole(search, runs).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn however_the_text_is_cut() {
        for step in 1..9 {
            assert_eq!(replaced(&[("ab", "X")], false, "aab abAB a", step), "aX XX a");
            assert_eq!(replaced(&[("ab", "X"), ("ba", "Y")], true, "abab ba", step), "Xab Y");
            assert_eq!(replaced(&[("aac", "X")], false, "aaac aa", step), "aX aa");
            assert_eq!(replaced(&[("", "X")], false, "text", step), "text");
            assert_eq!(replaced(&[("abcd", "X"), ("bc", "Y")], false, "abce", step), "aYe");
        }
    }

    #[test]
    fn much_leaves_in_parts() {
        let long = "y".repeat(10_000);
        for text in ["x".repeat(1000), "x".repeat(999) + "z"] {
            let search = Search::new([(b"x".to_vec(), long.as_bytes().to_vec())].into_iter(), false);
            let (all, longest) = transform::whole(search, vec![text.clone().into()]).unwrap();
            assert!(all == text.replace('x', &long).into_bytes());
            assert!(longest <= PART + long.len(), "{longest}");
        }
    }
}
