//! `gzip`: compresses answers as they leave.

mod compressors;

use crate::accept_gzip::{self, accepted};
use crate::filtering::{Types, admits, check_buffers, each_run, want_memory, weaken};
use base::log::Level;
use compressors::{Compressor, Compressors};
use conf::context::{Arity, Context};
use conf::row::{self, Row};
use conf::scope::Config;
use http::location::Filtered;
use http::variables::define;
use http::{Attach, Chain, Levels, Module, Outcome, Piece, Request, Step, log_request};
use session::Variables;
use std::cell::{Cell, RefCell};
use std::io::Write;
use std::rc::Rc;

/// The module; it comes after all filters that make or change text.
pub const MODULE: Module = Module { rows, levels, variables, attach, ..Module::named("gzip") };

#[derive(Default)]
struct Conf {
    on: Option<bool>,
    level: Option<u64>,
    min_length: Option<u64>,
    types: Option<Types>,
}

impl Config for Conf {
    fn inherit(&mut self, parent: &Self) {
        conf::inherit!(self, parent; on, level, min_length, types);
    }
}

fn levels(levels: &mut Levels) {
    levels.location::<Conf>();
}

fn rows() -> Vec<Row> {
    let at = Context::HTTP_ALL;
    vec![
        row::flag::<Conf>("gzip", Context::HTTP_IF, "Compresses answers.", |c| &mut c.on),
        Row::new("gzip_comp_level", at, Arity::exactly(1), "Level of compression, 1 to 9.", |cx| {
            let level = cx.number(0)?;
            if !(1..=9).contains(&level) {
                return Err(cx.error_at(0, "value must be between 1 and 9"));
            }
            cx.once(&mut cx.location::<Conf>().level, level)
        }),
        row::size::<Conf>("gzip_min_length", at, "Shortest body that is compressed.", |c| &mut c.min_length),
        Row::new("gzip_types", at, Arity::AtLeast(1), "Types that are compressed besides text/html.", |cx| {
            Types::add(&mut cx.location::<Conf>().types, cx);
            Ok(())
        }),
        Row::new("gzip_buffers", at, Arity::exactly(2), "Accepted; buffers grow as needed.", |cx| check_buffers(cx)),
    ]
}

/// Compression of one answer under way.
struct Packing {
    compressors: Rc<Compressors>,
    /// Until the last piece.
    compressor: RefCell<Option<Compressor>>,
    bytes_in: Cell<u64>,
    bytes_out: Cell<u64>,
}

impl Packing {
    fn new(compressors: Rc<Compressors>, level: u32, length: Option<u64>) -> Self {
        let compressor = RefCell::new(Some(compressors.take(level, length)));
        Packing { compressors, compressor, bytes_in: Cell::new(0), bytes_out: Cell::new(0) }
    }
}

impl Drop for Packing {
    fn drop(&mut self) {
        if let Some(unfinished) = self.compressor.take() {
            self.compressors.give(unfinished);
        }
    }
}

fn variables(variables: &mut Variables) {
    define(variables, "gzip_ratio", 0, |request, out| {
        let Some(packing) = request.find_context::<Packing>() else { return false };
        let (bytes_in, bytes_out) = (packing.bytes_in.get(), packing.bytes_out.get());
        if bytes_out == 0 {
            return false;
        }
        let hundredths = (bytes_in * 1000 / bytes_out + 5) / 10;
        // Writing to a Vec cannot fail.
        write!(out, "{}.{:02}", hundredths / 100, hundredths % 100).is_ok()
    });
}

fn attach(at: &mut Attach<'_>) -> Result<(), conf::tree::Error> {
    let conf = at.conf::<Conf>();
    if conf.on != Some(true) {
        return Ok(());
    }
    let accept = at.conf::<accept_gzip::Conf>();
    at.header_filter(move |request| header_filter(request, &conf, &accept));
    at.body_filter(|request, chain| Filtered::Now(body_filter(request, chain)));
    Ok(())
}

fn header_filter(request: &Rc<Request>, conf: &Conf, accept: &accept_gzip::Conf) -> Step {
    let fit = {
        let response = request.response.borrow();
        matches!(response.status, 0 | 200 | 403 | 404)
            && response.headers.get(b"Content-Encoding").is_none_or(<[u8]>::is_empty)
            && response.content_length.is_none_or(|n| n >= conf.min_length.unwrap_or(20))
            && admits(conf.types.as_ref(), &response)
    };
    if !fit || request.flags.header_only.get() {
        return Step::Now(Outcome::Ok);
    }
    accept_gzip::vary(request, accept);
    if !accepted(request, accept) {
        return Step::Now(Outcome::Ok);
    }
    let length = {
        let mut response = request.response.borrow_mut();
        let length = response.content_length;
        response.headers.set(b"Content-Encoding", b"gzip");
        response.clear_body_facts();
        weaken(&mut response);
        length
    };
    want_memory(request);
    // zlib-rs's level 1 packs far worse than zlib's; its level 2 is nginx's default.
    let level = conf.level.unwrap_or(1).max(2) as u32;
    request.set_context(Rc::new(Packing::new(request.worker.state(), level, length)));
    Step::Now(Outcome::Ok)
}

fn body_filter(request: &Rc<Request>, chain: Chain) -> Result<Chain, Outcome> {
    let Some(packing) = request.find_context::<Packing>() else { return Ok(chain) };
    if request.flags.header_only.get() {
        return Ok(chain);
    }
    let Chain { pieces, flush, last } = chain;
    match pack(&packing, &pieces, flush, last) {
        Ok(out) => Ok(Chain { pieces: out.into_iter().map(|data| Piece::Bytes(data.into())).collect(), flush, last }),
        Err(error) => {
            log_request!(request, Level::Alert, "gzip failed: {error}");
            Err(Outcome::Error)
        }
    }
}

fn pack(packing: &Packing, pieces: &[Piece], flush: bool, last: bool) -> std::io::Result<Option<Vec<u8>>> {
    let mut slot = packing.compressor.borrow_mut();
    let Some(compressor) = slot.as_mut() else { return Ok(None) };
    let mut out = Vec::new();
    for piece in pieces {
        packing.bytes_in.set(packing.bytes_in.get() + piece.len());
        each_run(piece, |data| compressor.write(data, &mut out))?;
    }
    if last {
        compressor.finish(&mut out)?;
        slot.take().into_iter().for_each(|done| packing.compressors.give(done));
    } else if flush {
        compressor.flush(&mut out)?;
    }
    packing.bytes_out.set(packing.bytes_out.get() + out.len() as u64);
    Ok(Some(out).filter(|o| !o.is_empty()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read;

    #[test]
    fn what_is_packed_in_pieces_unpacks_whole() {
        let packing = Packing::new(Rc::default(), 2, None);
        let mut packed = Vec::new();
        packed.extend(pack(&packing, &[Piece::Bytes("hello ".into())], true, false).unwrap().unwrap());
        let mut early = Vec::new();
        let _ = flate2::read::GzDecoder::new(&packed[..]).read_to_end(&mut early);
        assert_eq!(early, b"hello ", "a flush lets out what is there");
        packed.extend(pack(&packing, &[Piece::Bytes("world".into())], false, true).unwrap().unwrap());
        let mut text = String::new();
        flate2::read::GzDecoder::new(&packed[..]).read_to_string(&mut text).unwrap();
        assert_eq!(text, "hello world");
        assert_eq!((packing.bytes_in.get(), packing.bytes_out.get()), (11, packed.len() as u64));
        assert_eq!(pack(&packing, &[], false, true).unwrap(), None);
    }
}
