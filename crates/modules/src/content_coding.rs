//! What filters that compress answers share: which answers, what becomes of their head, and the way of a body through an encoder.

use crate::accept_gzip;
use crate::body_cache::{BodyCache, Lookup};
use crate::filtering::{Types, each_run, type_matches, want_memory, weaken_etag};
use base::log::Level;
use bytes::Bytes;
use conf::row::Cx;
use conf::tree::Error;
use http::location::Filtered;
use http::variables::define;
use http::{Attach, Chain, Outcome, Piece, Request, Step, Variables, log_request};
use std::cell::{Cell, RefCell};
use std::io::{self, Write};
use std::ops::RangeInclusive;
use std::rc::Rc;
#[cfg(test)]
pub(crate) use tests::check_pieces;

/// Compresses one body.
pub(crate) trait Encoder {
    /// Takes `data`, and puts what comes of it behind what is in `out`.
    fn write(&mut self, data: &[u8], out: &mut Vec<u8>) -> io::Result<()>;

    /// Brings out all that was written, so that a decoder can go on with it.
    fn flush(&mut self, out: &mut Vec<u8>) -> io::Result<()>;

    /// Ends the stream.
    fn finish(&mut self, out: &mut Vec<u8>) -> io::Result<()>;
}

/// A content coding, and a worker's means for it.
pub(crate) trait Coding: Default + 'static {
    /// Its name in `Content-Encoding`.
    const NAME: &'static str;
    /// What failed, in the log.
    const ENCODER: &'static str;
    /// Its bit among [`crate::marks`].
    const MARK: u32;
    /// Level and the like.
    type Settings: Copy + 'static;
    /// What compresses.
    type Encoder: Encoder;

    /// An encoder for a body of this length, if that is known.
    fn take(&self, settings: Self::Settings, length: Option<u64>) -> Self::Encoder;

    /// Takes an encoder back, whatever state it is in.
    fn put(&self, encoder: Self::Encoder);

    /// A number that no other settings have, nor any of another coding.
    fn settings_key(settings: Self::Settings) -> usize;
}

/// `NAME_min_length` where there is none.
const MIN_LENGTH: u64 = 20;

/// Whether a response is compressed for clients that take it.
pub(crate) fn is_eligible(request: &Request, min_length: Option<u64>, types: Option<&Types>) -> bool {
    if request.flags.header_only.get() {
        return false;
    }
    let response = request.response.borrow();
    matches!(response.status, 0 | 200 | 403 | 404)
        && response.headers.get(b"Content-Encoding").is_none_or(<[u8]>::is_empty)
        && response.content_length.is_none_or(|n| n >= min_length.unwrap_or(MIN_LENGTH))
        && type_matches(types, &response)
}

/// The filters of a coding: responses that are eligible (see [`is_eligible`]) are compressed for clients for whom `settings` has any.
pub(crate) fn attach<C: Coding>(
    at: &mut Attach<'_>,
    fits: impl Fn(&Request) -> bool + 'static,
    settings: impl Fn(&Rc<Request>, &accept_gzip::Conf) -> Option<C::Settings> + 'static,
) {
    let accept = at.conf::<accept_gzip::Conf>();
    at.header_filter(move |request| {
        if fits(request) {
            accept_gzip::vary(request, &accept);
            if let Some(settings) = settings(request, &accept) {
                begin::<C>(request, settings);
            }
        }
        Step::Now(Outcome::Ok)
    });
    at.body_filter_on_demand(C::MARK, |request, chain| Filtered::Now(body_filter::<C>(request, chain)));
}

/// The logarithm of a size that must be a power of two among those allowed.
pub(crate) fn power(cx: &Cx<'_>, allowed: RangeInclusive<u8>, text: &str) -> Result<u8, Error> {
    let size = cx.size(0)?;
    let bits = u8::try_from(size.trailing_zeros()).unwrap_or_default();
    if !size.is_power_of_two() || !allowed.contains(&bits) {
        return Err(cx.error_at(0, format!("\"{}\" directive {text}", cx.name())));
    }
    Ok(bits)
}

/// The body of this response leaves compressed.
fn begin<C: Coding>(request: &Request, settings: C::Settings) {
    let length = {
        let mut response = request.response.borrow_mut();
        let length = response.content_length;
        response.headers.set(b"Content-Encoding", C::NAME.as_bytes());
        response.clear_body_facts();
        weaken_etag(&mut response);
        length
    };
    want_memory(request);
    let worker = &request.worker;
    request.set_context(Rc::new(Packing::<C>::new(worker.state(), worker.state(), settings, length)));
    request.demand_body_filter(C::MARK);
}

/// The body filter of a coding.
fn body_filter<C: Coding>(request: &Rc<Request>, chain: Chain) -> Result<Chain, Outcome> {
    let Some(packing) = request.find_context::<Packing<C>>() else { return Ok(chain) };
    if request.flags.header_only.get() {
        return Ok(chain);
    }
    let Chain { pieces, flush, last } = chain;
    match packing.pack(&pieces, flush, last) {
        Ok(out) => Ok(Chain { pieces: out.into_iter().map(Piece::Bytes).collect(), flush, last }),
        Err(error) => {
            log_request!(request, Level::Alert, "{} failed: {error}", C::ENCODER);
            Err(Outcome::Error)
        }
    }
}

/// Defines the variable for how many times smaller a body became.
pub(crate) fn define_ratio<C: Coding>(variables: &mut Variables, name: &'static str) {
    define(variables, name, 0, |request, out| {
        let Some(packing) = request.find_context::<Packing<C>>() else { return false };
        let (bytes_in, bytes_out) = (packing.bytes_in.get(), packing.bytes_out.get());
        if bytes_out == 0 {
            return false;
        }
        let hundredths = (bytes_in * 1000 / bytes_out + 5) / 10;
        // Writing to a Vec cannot fail.
        write!(out, "{}.{:02}", hundredths / 100, hundredths % 100).is_ok()
    });
}

/// Compression of one response under way.
struct Packing<C: Coding> {
    coding: Rc<C>,
    cache: Rc<BodyCache<Bytes>>,
    settings: C::Settings,
    /// Of the body, if it is known.
    length: Option<u64>,
    stage: RefCell<Stage<C::Encoder>>,
    bytes_in: Cell<u64>,
    bytes_out: Cell<u64>,
}

enum Stage<E> {
    /// Nothing has come.
    Fresh,
    Running(E),
    /// After the last piece.
    Done,
}

impl<C: Coding> Packing<C> {
    fn new(coding: Rc<C>, cache: Rc<BodyCache<Bytes>>, settings: C::Settings, length: Option<u64>) -> Self {
        let stage = RefCell::new(Stage::Fresh);
        Packing { coding, cache, settings, length, stage, bytes_in: Cell::new(0), bytes_out: Cell::new(0) }
    }

    /// Packs pieces as they come.
    fn pack(&self, pieces: &[Piece], flush: bool, last: bool) -> io::Result<Option<Bytes>> {
        let mut stage = self.stage.borrow_mut();
        let fresh = matches!(*stage, Stage::Fresh);
        if let ([Piece::Bytes(body)], true, true) = (pieces, last, fresh) {
            *stage = Stage::Done;
            return self.pack_whole(body).map(Some);
        }
        if fresh {
            *stage = Stage::Running(self.coding.take(self.settings, self.length));
        }
        let Stage::Running(encoder) = &mut *stage else { return Ok(None) };
        let mut out = Vec::new();
        for piece in pieces {
            self.bytes_in.set(self.bytes_in.get() + piece.len());
            each_run(piece, |data| encoder.write(data, &mut out))?;
        }
        if last {
            encoder.finish(&mut out)?;
            self.end(&mut stage);
        } else if flush {
            encoder.flush(&mut out)?;
        }
        self.bytes_out.set(self.bytes_out.get() + out.len() as u64);
        Ok(Some(Bytes::from(out)).filter(|out| !out.is_empty()))
    }

    /// Packs a body that comes in one piece, if it was not packed before.
    fn pack_whole(&self, body: &Bytes) -> io::Result<Bytes> {
        let (key, packed) = match self.cache.lookup(body, C::settings_key(self.settings)) {
            Lookup::Known(packed) => (None, packed),
            Lookup::Keep(key) => (Some(key), self.pack_once(body)?),
            Lookup::Make => (None, self.pack_once(body)?),
        };
        if let Some(key) = key {
            self.cache.insert(key, body, &packed, packed.len());
        }
        self.bytes_in.set(body.len() as u64);
        self.bytes_out.set(packed.len() as u64);
        Ok(packed)
    }

    fn pack_once(&self, body: &[u8]) -> io::Result<Bytes> {
        let mut encoder = self.coding.take(self.settings, self.length);
        let mut out = Vec::new();
        encoder.write(body, &mut out)?;
        encoder.finish(&mut out)?;
        self.coding.put(encoder);
        Ok(Bytes::from(out))
    }

    fn end(&self, stage: &mut Stage<C::Encoder>) {
        if let Stage::Running(encoder) = std::mem::replace(stage, Stage::Done) {
            self.coding.put(encoder);
        }
    }
}

impl<C: Coding> Drop for Packing<C> {
    fn drop(&mut self) {
        self.end(&mut self.stage.borrow_mut());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whether a body that comes in pieces unpacks: as far as it was flushed, and whole; and whether its bytes are counted.
    pub(crate) fn check_pieces<C: Coding>(settings: C::Settings, unpack: fn(&[u8]) -> Vec<u8>) {
        let packing = Packing::<C>::new(Rc::default(), Rc::default(), settings, None);
        let mut packed = Vec::new();
        packed.extend(packing.pack(&[Piece::Bytes("hello ".into())], true, false).unwrap().unwrap());
        assert_eq!(unpack(&packed), b"hello ", "a flush lets out what is there");
        packed.extend(packing.pack(&[Piece::Bytes("world".into())], false, true).unwrap().unwrap());
        assert_eq!(unpack(&packed), b"hello world");
        assert_eq!((packing.bytes_in.get(), packing.bytes_out.get()), (11, packed.len() as u64));
        assert_eq!(packing.pack(&[], false, true).unwrap(), None);
    }
}
