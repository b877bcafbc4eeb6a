//! `gunzip`: unpacks answers for clients that do not take gzip.

use crate::accept_gzip::{self, accepted};
use crate::filtering::{check_buffers, each_run, want_memory, weaken};
use base::log::Level;
use conf::context::{Arity, Context};
use conf::row::{self, Row};
use conf::scope::Config;
use flate2::write::MultiGzDecoder;
use http::location::Filtered;
use http::{Attach, Chain, Levels, Module, Outcome, Piece, Request, Step, log_request};
use std::cell::RefCell;
use std::io::Write;
use std::rc::Rc;

/// The module; it comes before all filters that read text.
pub const MODULE: Module = Module { rows, levels, attach, ..Module::named("gunzip") };

#[derive(Default)]
struct Conf {
    on: Option<bool>,
}

impl Config for Conf {
    fn inherit(&mut self, parent: &Self) {
        conf::inherit!(self, parent; on);
    }
}

fn levels(levels: &mut Levels) {
    levels.location::<Conf>();
}

fn rows() -> Vec<Row> {
    let at = Context::HTTP_ALL;
    vec![
        row::flag::<Conf>("gunzip", at, "Unpacks answers for clients that do not take gzip.", |c| &mut c.on),
        Row::new("gunzip_buffers", at, Arity::exactly(2), "Accepted; buffers grow as needed.", |cx| check_buffers(cx)),
    ]
}

struct Unpacking(RefCell<Option<MultiGzDecoder<Vec<u8>>>>);

fn attach(at: &mut Attach<'_>) -> Result<(), conf::tree::Error> {
    if at.conf::<Conf>().on == Some(true) {
        let accept = at.conf::<accept_gzip::Conf>();
        at.header_filter(move |request| header_filter(request, &accept));
        at.body_filter(|request, chain| Filtered::Now(body_filter(request, chain)));
    }
    Ok(())
}

fn header_filter(request: &Rc<Request>, accept: &accept_gzip::Conf) -> Step {
    let packed = request.response.borrow().headers.get(b"Content-Encoding").is_some_and(|v| v.eq_ignore_ascii_case(b"gzip"));
    if !packed {
        return Step::Now(Outcome::Ok);
    }
    accept_gzip::vary(request, accept);
    if accepted(request, accept) {
        return Step::Now(Outcome::Ok);
    }
    {
        let mut response = request.response.borrow_mut();
        response.headers.remove(b"Content-Encoding");
        response.clear_body_facts();
        weaken(&mut response);
    }
    want_memory(request);
    request.set_context(Rc::new(Unpacking(RefCell::new(Some(MultiGzDecoder::new(Vec::new()))))));
    Step::Now(Outcome::Ok)
}

fn body_filter(request: &Rc<Request>, chain: Chain) -> Result<Chain, Outcome> {
    let Some(state) = request.find_context::<Unpacking>() else { return Ok(chain) };
    if request.flags.header_only.get() {
        return Ok(chain);
    }
    let Chain { pieces, flush, last } = chain;
    match unpack(&state, &pieces, last) {
        Ok(out) => Ok(Chain { pieces: out.into_iter().map(|data| Piece::Bytes(data.into())).collect(), flush, last }),
        Err(error) => {
            log_request!(request, Level::Error, "inflate() failed: {error}");
            Err(Outcome::Error)
        }
    }
}

fn unpack(state: &Unpacking, pieces: &[Piece], last: bool) -> std::io::Result<Option<Vec<u8>>> {
    let mut slot = state.0.borrow_mut();
    let Some(decoder) = slot.as_mut() else { return Ok(None) };
    for piece in pieces {
        each_run(piece, |data| decoder.write_all(data))?;
    }
    let out = if last {
        slot.take().map_or(Ok(Vec::new()), MultiGzDecoder::finish)?
    } else {
        decoder.flush()?;
        std::mem::take(decoder.get_mut())
    };
    Ok(Some(out).filter(|o| !o.is_empty()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn packed(text: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::new(2));
        encoder.write_all(text).unwrap();
        encoder.finish().unwrap()
    }

    #[test]
    fn members_one_after_another_byte_by_byte() {
        let state = Unpacking(RefCell::new(Some(MultiGzDecoder::new(Vec::new()))));
        let whole = [packed(b"one "), packed(b"two")].concat();
        let mut out = Vec::new();
        for (i, byte) in whole.iter().enumerate() {
            let piece = Piece::Bytes(vec![*byte].into());
            out.extend(unpack(&state, &[piece], i + 1 == whole.len()).unwrap().unwrap_or_default());
        }
        assert_eq!(out, b"one two");
    }

    #[test]
    fn what_is_cut_off_is_an_error() {
        let state = Unpacking(RefCell::new(Some(MultiGzDecoder::new(Vec::new()))));
        let mut whole = packed(b"text");
        whole.truncate(whole.len() - 4);
        assert!(unpack(&state, &[Piece::Bytes(whole.into())], true).is_err());
    }
}
