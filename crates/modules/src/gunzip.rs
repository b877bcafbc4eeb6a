//! `gunzip`: unpacks answers for clients that do not take gzip.

use crate::accept_gzip::{self, accepted};
use crate::filtering::{check_buffers, weaken_etag};
use crate::marks;
use crate::transform::{self, Transform};
use conf::context::{Arity, Context};
use conf::row::{self, Row};
use conf::scope::Config;
use flate2::write::MultiGzDecoder;
use http::{Attach, Levels, Module, Outcome, Request, Step};
use std::io::{self, Write};
use std::rc::Rc;

/// The module; it comes before all filters that read text.
pub const MODULE: Module = Module { rows, levels: Levels::location_only::<Conf>, attach, ..Module::named("gunzip") };

#[derive(Default)]
struct Conf {
    on: Option<bool>,
}

impl Config for Conf {
    fn inherit(&mut self, parent: &Self) {
        conf::inherit!(self, parent; on);
    }
}

fn rows() -> Vec<Row> {
    let at = Context::HTTP_ALL;
    vec![
        row::flag::<Conf>("gunzip", at, "Unpacks responses for clients that do not take gzip.", |c| &mut c.on),
        Row::new("gunzip_buffers", at, Arity::exactly(2), "Accepted; buffers grow as needed.", |cx| check_buffers(cx)),
    ]
}

/// Bytes that are unpacked at a time: they may become a thousand times as many.
const SLICE: usize = 128;

struct Decompressor(Option<MultiGzDecoder<Vec<u8>>>);

impl Default for Decompressor {
    fn default() -> Self {
        Decompressor(Some(MultiGzDecoder::new(Vec::new())))
    }
}

fn attach(at: &mut Attach<'_>) -> Result<(), conf::tree::Error> {
    if at.conf::<Conf>().on == Some(true) {
        let accept = at.conf::<accept_gzip::Conf>();
        at.header_filter(move |request| header_filter(request, &accept));
        transform::attach::<Decompressor>(at);
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
        weaken_etag(&mut response);
    }
    transform::begin(request, Decompressor::default());
    Step::Now(Outcome::Ok)
}

impl Transform for Decompressor {
    const NAME: &'static str = "inflate()";
    const MARK: u32 = marks::GUNZIP;

    fn feed(&mut self, data: &[u8], out: &mut Vec<u8>) -> io::Result<usize> {
        let Some(decoder) = &mut self.0 else { return Ok(data.len()) };
        let some = data.get(..SLICE).unwrap_or(data);
        decoder.write_all(some)?;
        out.append(decoder.get_mut());
        Ok(some.len())
    }

    fn flush(&mut self, out: &mut Vec<u8>) -> io::Result<()> {
        let Some(decoder) = &mut self.0 else { return Ok(()) };
        decoder.flush()?;
        out.append(decoder.get_mut());
        Ok(())
    }

    fn finish(&mut self, out: &mut Vec<u8>) -> io::Result<()> {
        let Some(decoder) = self.0.take() else { return Ok(()) };
        out.append(&mut decoder.finish()?);
        Ok(())
    }
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
        let whole = [packed(b"one "), packed(b"two")].concat();
        let runs = whole.iter().map(|byte| vec![*byte].into()).collect();
        assert_eq!(transform::whole(Decompressor::default(), runs).unwrap().0, b"one two");
    }

    #[test]
    fn much_leaves_in_parts() {
        let text = vec![b'x'; 5 << 20];
        let (all, longest) = transform::whole(Decompressor::default(), vec![packed(&text).into()]).unwrap();
        assert!(all == text);
        assert!(longest <= 4 * transform::PART, "{longest}");
    }

    #[test]
    fn what_is_cut_off_is_an_error() {
        let mut whole = packed(b"text");
        whole.truncate(whole.len() - 4);
        assert!(transform::whole(Decompressor::default(), vec![whole.into()]).is_err());
    }
}
