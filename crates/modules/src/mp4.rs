//! `mp4`: videos from a start time, or between two times (nginx manual, `ngx_http_mp4_module`).

use crate::files::cache::{Content, Opened};
use crate::files::serve;
use crate::static_files;
use base::log::Level;
use conf::context::{Arity, Context};
use conf::row::{self, Row};
use conf::scope::Config;
use conf::tree::Error;
use http::{Attach, Chain, Levels, Module, Outcome, Piece, Request, Step, content_type, log_request};
use std::fmt;
use std::io;
use std::os::unix::fs::FileExt;
use std::rc::Rc;
use wire::mp4::cut::{ClippedFile, cut};
use wire::mp4::selection::Clip;
use wire::mp4::{HEADER, Header, Mp4Error, header};

/// Films.
pub const MODULE: Module = Module { rows, levels, attach, ..Module::named("mp4") };

/// Most bytes of an `ftyp`.
const MOST_TYPE: u64 = 1024;

/// Whether a location serves films. A content handler belongs to its location.
#[derive(Default)]
struct Mp4(bool);

impl Config for Mp4 {
    fn inherit(&mut self, _: &Self) {}
}

#[derive(Default)]
struct Conf {
    buffer_size: Option<u64>,
    max_buffer_size: Option<u64>,
    start_key_frame: Option<bool>,
}

impl Config for Conf {
    fn inherit(&mut self, parent: &Self) {
        conf::inherit!(self, parent; buffer_size, max_buffer_size, start_key_frame);
    }
}

impl Conf {
    /// The largest table of contents that is read.
    fn most(&self) -> u64 {
        self.buffer_size.unwrap_or(512 << 10).max(self.max_buffer_size.unwrap_or(10 << 20))
    }
}

fn rows() -> Vec<Row> {
    let at = Context::HTTP_ALL;
    vec![
        Row::new("mp4", Context::LOCATION, Arity::exactly(0), "Serves films from any moment on.", |cx| {
            cx.location::<Mp4>().0 = true;
            Ok(())
        }),
        row::size("mp4_buffer_size", at, "Memory to read films with.", |c: &mut Conf| &mut c.buffer_size),
        row::size("mp4_max_buffer_size", at, "The largest table of contents of a film.", |c: &mut Conf| &mut c.max_buffer_size),
        row::flag("mp4_start_key_frame", at, "Starts films at a key frame.", |c: &mut Conf| &mut c.start_key_frame),
    ]
}

fn levels(levels: &mut Levels) {
    levels.location::<Mp4>().location::<Conf>();
}

fn attach(place: &mut Attach<'_>) -> Result<(), Error> {
    if place.conf::<Mp4>().0 {
        let conf = place.conf::<Conf>();
        place.content(move |request| handle(request, &conf));
    }
    Ok(())
}

fn handle(request: &Rc<Request>, conf: &Conf) -> Step {
    let (file, path) = match static_files::open_video(request) {
        Ok(opened) => opened,
        Err(outcome) => return Step::Now(outcome),
    };
    let cutting = match requested_range(request).map(|(start, length)| cut_out(&file, conf, start, length)) {
        None | Some(Ok(None)) => None,
        Some(Ok(cutting)) => cutting,
        Some(Err(failure)) => {
            let path = String::from_utf8_lossy(&path);
            match failure {
                Failure::Fault(fault) => log_request!(request, Level::Error, "{}", fault.line(path)),
                Failure::Read(error) => {
                    let error = base::errno::describe(&error);
                    log_request!(request, Level::Crit, "pread() \"{path}\" failed {error}");
                }
            }
            return Step::Now(Outcome::Status(500));
        }
    };
    let mut pieces = Vec::new();
    match cutting {
        Some((kind, ClippedFile { moov, header, start, end })) => {
            pieces.extend([kind, moov, header].map(|bytes| Piece::Bytes(bytes.into())));
            pieces.extend(serve::piece(&file, start, end));
        }
        None => pieces.extend(serve::piece(&file, 0, file.size())),
    }
    serve::describe_part(request, &file, pieces.iter().map(Piece::len).sum());
    content_type::set_by_extension(request);
    {
        let mut response = request.response.borrow_mut();
        (response.allow_ranges, response.single_range) = (true, requested_range(request).is_some());
    }
    request.action.set("sending mp4 to client");
    serve::send_chain(request, Chain { pieces, flush: false, last: true })
}

/// Start and length in milliseconds (0: to the end) that the arguments ask for; `None`: the whole film.
fn requested_range(request: &Request) -> Option<(u64, u64)> {
    let line = request.line.borrow();
    let moment = |name: &[u8]| wire::uri::args::find(&line.args, name).and_then(milliseconds);
    let (start, end) = (moment(b"start"), moment(b"end").filter(|end| *end > 0));
    if start.is_none() && end.is_none() {
        return None;
    }
    let start = start.unwrap_or_default();
    Some((start, end.and_then(|end| end.checked_sub(start)).unwrap_or_default()))
}

/// Seconds with a fraction, in milliseconds; digits behind the third are left out.
fn milliseconds(text: &[u8]) -> Option<u64> {
    let mut halves = text.splitn(2, |byte| *byte == b'.');
    let (whole, fraction) = (halves.next()?, halves.next().unwrap_or_default());
    if text.is_empty() || !whole.iter().chain(fraction).all(u8::is_ascii_digit) {
        return None;
    }
    let digits = whole.iter().chain(fraction.iter().chain(b"000").take(3));
    let value = digits.copied().try_fold(0u64, |value, digit| value.checked_mul(10)?.checked_add(u64::from(digit - b'0')))?;
    i64::try_from(value).is_ok().then_some(value)
}

/// Why nothing can be cut out.
#[derive(Debug)]
enum Failure {
    Fault(Mp4Error),
    Read(io::Error),
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Failure::Fault(fault) => fault.fmt(f),
            Failure::Read(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for Failure {}

impl From<Mp4Error> for Failure {
    fn from(fault: Mp4Error) -> Failure {
        Failure::Fault(fault)
    }
}

/// The bytes of a file from `at` on, `count` of them or all that there are.
fn read(file: &Opened, at: u64, count: u64) -> Result<Vec<u8>, Failure> {
    let count = usize::try_from(count.min(file.size().saturating_sub(at))).unwrap_or_default();
    match &file.content {
        Content::Memory(bytes) => {
            let at = usize::try_from(at).unwrap_or(usize::MAX);
            Ok(bytes.get(at..at.saturating_add(count)).unwrap_or_default().to_vec())
        }
        Content::Open(open) => {
            let mut data = vec![0; count];
            open.read_exact_at(&mut data, at).map_err(Failure::Read)?;
            Ok(data)
        }
        Content::None => Ok(Vec::new()),
    }
}

/// The film's `ftyp` and what is cut out; `None`: the whole file is just what is wanted.
fn cut_out(file: &Opened, conf: &Conf, start: u64, length: u64) -> Result<Option<(Vec<u8>, ClippedFile)>, Failure> {
    let size = file.size();
    let (mut kind, mut moov, mut data_end) = (None, None, None);
    let mut at = 0;
    while at < size && (moov.is_none() || data_end.is_none()) {
        let Some(found) = header(&read(file, at, HEADER as u64)?, size - at)? else { break };
        let content = at + found.length;
        at += found.size;
        match &found.name {
            b"ftyp" => {
                if kind.is_some() {
                    return Err(duplicate("ftyp"));
                }
                let length = found.size - found.length;
                if length > MOST_TYPE {
                    return Err(Mp4Error::Of(format!("mp4 ftyp atom is too large:{length}")).into());
                }
                let whole = [&u32::try_from(length + 8).unwrap_or_default().to_be_bytes()[..], b"ftyp", &read(file, content, length)?];
                kind = Some(whole.concat());
            }
            b"moov" if data_end.is_none() && start == 0 && length == 0 => return Ok(None),
            b"moov" if moov.is_some() => return Err(duplicate("moov")),
            b"moov" => moov = Some(read_tables(file, conf, content, &found)?),
            b"mdat" if data_end.is_some() => return Err(duplicate("mdat")),
            b"mdat" => data_end = Some(at),
            _ => {}
        }
    }
    let Some(moov) = moov else { return Err(Mp4Error::In("no mp4 trak atoms were found".to_owned()).into()) };
    let Some(data_end) = data_end else { return Err(Mp4Error::In("no mp4 mdat atom was found".to_owned()).into()) };
    let kind = kind.unwrap_or_default();
    let key_frame = conf.start_key_frame == Some(true);
    let cutting = cut(&moov, &Clip { start, length, key_frame, file_size: size, data_end }, kind.len() as u64)?;
    Ok(Some((kind, cutting)))
}

fn read_tables(file: &Opened, conf: &Conf, at: u64, found: &Header) -> Result<Vec<u8>, Failure> {
    let length = found.size - found.length;
    if length > conf.most() {
        let words = format!("mp4 moov atom is too large:{length}, you may want to increase mp4_max_buffer_size");
        return Err(Mp4Error::Of(words).into());
    }
    read(file, at, length)
}

fn duplicate(name: &str) -> Failure {
    Mp4Error::In(format!("duplicate mp4 {name} atom")).into()
}

#[cfg(test)]
mod tests {
    use super::milliseconds;

    #[test]
    fn moments() {
        let cases = [
            ("1", Some(1000)),
            ("1.5", Some(1500)),
            ("0.1239", Some(123)),
            (".5", Some(500)),
            ("2.", Some(2000)),
            ("0", Some(0)),
            ("", None),
            ("1.2.3", None),
            ("-1", None),
            ("x", None),
            ("9223372036854775", Some(9_223_372_036_854_775_000)),
            ("9223372036854776", None),
            ("99999999999999999999", None),
        ];
        for (text, expected) in cases {
            assert_eq!(milliseconds(text.as_bytes()), expected, "{text}");
        }
    }
}
