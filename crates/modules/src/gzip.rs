//! `gzip`: compresses answers as they leave.

mod compressors;

use crate::accept_gzip::{self, accepted};
use crate::filtering::{Types, admits, check_buffers, each_run, want_memory, weaken};
use crate::kept::{KeptBodies, Wish};
use base::log::Level;
use bytes::Bytes;
use compressors::{Compressor, Compressors};
use conf::context::{Arity, Context};
use conf::row::{self, Row};
use conf::scope::Config;
use http::location::Filtered;
use http::variables::define;
use http::{Attach, Chain, Levels, Module, Outcome, Piece, Request, Step, Variables, log_request};
use std::cell::{Cell, RefCell};
use std::io::Write;
use std::rc::Rc;

/// The module; it comes after all filters that make or change text.
pub const MODULE: Module = Module { rows, levels: Levels::own::<Conf>, variables, attach, ..Module::named("gzip") };

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
    kept: Rc<KeptBodies<Bytes>>,
    level: u32,
    /// Of the body, if it is known.
    length: Option<u64>,
    stage: RefCell<Stage>,
    bytes_in: Cell<u64>,
    bytes_out: Cell<u64>,
}

enum Stage {
    /// Nothing has come.
    Fresh,
    Running(Compressor),
    /// After the last piece.
    Done,
}

impl Packing {
    fn new(compressors: Rc<Compressors>, kept: Rc<KeptBodies<Bytes>>, level: u32, length: Option<u64>) -> Self {
        let stage = RefCell::new(Stage::Fresh);
        Packing { compressors, kept, level, length, stage, bytes_in: Cell::new(0), bytes_out: Cell::new(0) }
    }

    /// Packs pieces as they come.
    fn pack(&self, pieces: &[Piece], flush: bool, last: bool) -> std::io::Result<Option<Bytes>> {
        let mut stage = self.stage.borrow_mut();
        let fresh = matches!(*stage, Stage::Fresh);
        if let ([Piece::Bytes(body)], true, true) = (pieces, last, fresh) {
            *stage = Stage::Done;
            return self.pack_whole(body).map(Some);
        }
        if fresh {
            *stage = Stage::Running(self.compressors.take(self.level, self.length));
        }
        let Stage::Running(compressor) = &mut *stage else { return Ok(None) };
        let mut out = Vec::new();
        for piece in pieces {
            self.bytes_in.set(self.bytes_in.get() + piece.len());
            each_run(piece, |data| compressor.write(data, &mut out))?;
        }
        if last {
            compressor.finish(&mut out)?;
            self.end(&mut stage);
        } else if flush {
            compressor.flush(&mut out)?;
        }
        self.bytes_out.set(self.bytes_out.get() + out.len() as u64);
        Ok(Some(Bytes::from(out)).filter(|out| !out.is_empty()))
    }

    /// Packs a body that comes in one piece, if it was not packed before.
    fn pack_whole(&self, body: &Bytes) -> std::io::Result<Bytes> {
        let (key, packed) = match self.kept.look(body, self.level as usize) {
            Wish::Known(packed) => (None, packed),
            Wish::Keep(key) => (Some(key), self.pack_once(body)?),
            Wish::Make => (None, self.pack_once(body)?),
        };
        if let Some(key) = key {
            self.kept.keep(key, body, &packed, packed.len());
        }
        self.bytes_in.set(body.len() as u64);
        self.bytes_out.set(packed.len() as u64);
        Ok(packed)
    }

    fn pack_once(&self, body: &[u8]) -> std::io::Result<Bytes> {
        let mut compressor = self.compressors.take(self.level, self.length);
        let mut out = Vec::new();
        compressor.write(body, &mut out)?;
        compressor.finish(&mut out)?;
        self.compressors.give(compressor);
        Ok(Bytes::from(out))
    }

    fn end(&self, stage: &mut Stage) {
        if let Stage::Running(compressor) = std::mem::replace(stage, Stage::Done) {
            self.compressors.give(compressor);
        }
    }
}

impl Drop for Packing {
    fn drop(&mut self) {
        self.end(&mut self.stage.borrow_mut());
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
    let worker = &request.worker;
    request.set_context(Rc::new(Packing::new(worker.state(), worker.state(), level, length)));
    Step::Now(Outcome::Ok)
}

fn body_filter(request: &Rc<Request>, chain: Chain) -> Result<Chain, Outcome> {
    let Some(packing) = request.find_context::<Packing>() else { return Ok(chain) };
    if request.flags.header_only.get() {
        return Ok(chain);
    }
    let Chain { pieces, flush, last } = chain;
    match packing.pack(&pieces, flush, last) {
        Ok(out) => Ok(Chain { pieces: out.into_iter().map(Piece::Bytes).collect(), flush, last }),
        Err(error) => {
            log_request!(request, Level::Alert, "gzip failed: {error}");
            Err(Outcome::Error)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read;

    #[test]
    fn what_is_packed_in_pieces_unpacks_whole() {
        let packing = Packing::new(Rc::default(), Rc::default(), 2, None);
        let mut packed = Vec::new();
        packed.extend(packing.pack(&[Piece::Bytes("hello ".into())], true, false).unwrap().unwrap());
        let mut early = Vec::new();
        let _ = flate2::read::GzDecoder::new(&packed[..]).read_to_end(&mut early);
        assert_eq!(early, b"hello ", "a flush lets out what is there");
        packed.extend(packing.pack(&[Piece::Bytes("world".into())], false, true).unwrap().unwrap());
        let mut text = String::new();
        flate2::read::GzDecoder::new(&packed[..]).read_to_string(&mut text).unwrap();
        assert_eq!(text, "hello world");
        assert_eq!((packing.bytes_in.get(), packing.bytes_out.get()), (11, packed.len() as u64));
        assert_eq!(packing.pack(&[], false, true).unwrap(), None);
    }
}
