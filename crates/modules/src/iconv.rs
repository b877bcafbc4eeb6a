//! `set_iconv` and `iconv_filter`: values and bodies in another character set, as in iconv-nginx-module.

use crate::compile::{complex, complex_of};
use crate::marks;
use crate::set_misc::{fail, target};
use crate::transform::{self, PART, Transform};
use base::log::Level;
use conf::context::{Arity, Context};
use conf::row::{Cx, Row};
use conf::scope::Config;
use conf::tree::Error;
use http::program::{Flow, Program};
use http::set_function::CallError;
use http::{Attach, Complex, Levels, Module, Outcome, Request, Step, log_request};
use session::variable;
use std::io;
use std::rc::{Rc, Weak};
use sys::iconv::{Iconv, Stop};

/// The module; it comes before all filters of nginx's own modules.
pub const MODULE: Module = Module { rows, levels: Levels::location_only::<Conf>, attach, ..Module::named("iconv") };

/// `iconv_buffer_size` where there is none: a page.
const BUFFER: usize = 4096;

/// A buffer of `iconv_buffer_size` is never larger than this: it is the worker's memory, while the size is only how much is converted at a time.
const LARGEST: u64 = 64 * 1024;

/// Bytes among which any character of any set ends.
const LONGEST: usize = 16;

/// Source and target set.
#[derive(Clone)]
struct Pair {
    from: Box<[u8]>,
    to: Box<[u8]>,
}

#[derive(Default)]
struct Conf {
    buffer: Option<usize>,
    filter: Option<Pair>,
}

impl Config for Conf {
    fn inherit(&mut self, parent: &Self) {
        conf::inherit!(self, parent; buffer, filter);
    }
}

fn rows() -> Vec<Row> {
    let at = Context::LOCATION;
    vec![
        Row::new("iconv_buffer_size", at, Arity::exactly(1), "The buffer that text is converted in.", |cx| {
            let size = cx.size(0)?;
            if size < 2 {
                return Err(cx.error_at(0, "iconv_buffer_size must not less than 2 bytes"));
            }
            let size = usize::try_from(size.min(LARGEST)).unwrap_or(BUFFER);
            cx.once(&mut cx.location::<Conf>().buffer, size)
        }),
        Row::new("iconv_filter", at, Arity::exactly(2), "Converts bodies from one character set to another.", |cx| {
            let pair = Pair { from: named(cx, 0, b"from=")?.into(), to: named(cx, 1, b"to=")?.into() };
            check(cx, &pair.from, &pair.to)?;
            cx.once(&mut cx.location::<Conf>().filter, pair)
        }),
        Row::new("set_iconv", at, Arity::exactly(4), "Assigns a value in another character set.", set),
    ]
}

/// What stands behind `prefix`, which is read in any case, in argument `i`.
fn named<'c>(cx: &Cx<'c>, i: usize, prefix: &[u8]) -> Result<&'c [u8], Error> {
    match cx.arg(i).split_at_checked(prefix.len()) {
        Some((name, value)) if name.eq_ignore_ascii_case(prefix) => Ok(value),
        _ => Err(cx.error_at(i, format!("invalid parameter \"{}\"", cx.text(i)))),
    }
}

/// A pair that the C library does not convert is an error of the configuration.
fn check(cx: &Cx<'_>, from: &[u8], to: &[u8]) -> Result<(), Error> {
    Iconv::open(from, to).map(drop).map_err(|_| cx.error(unsupported(from, to)))
}

fn unsupported(from: &[u8], to: &[u8]) -> String {
    format!("iconv does not convert from \"{}\" to \"{}\"", from.escape_ascii(), to.escape_ascii())
}

fn set(cx: &mut Cx<'_>) -> Result<(), Error> {
    let (target, text) = (target(cx)?, complex(cx, 1)?);
    let from: Complex = complex_of(cx, 2, named(cx, 2, b"from=")?)?;
    let to: Complex = complex_of(cx, 3, named(cx, 3, b"to=")?)?;
    if let (Some(from), Some(to)) = (from.literal(), to.literal()) {
        check(cx, from, to)?;
    }
    cx.location::<Program>().push(move |request, _| {
        let text = text.to_vec(&**request);
        let (from, to) = (from.to_vec(&**request), to.to_vec(&**request));
        let Ok(iconv) = Iconv::open(&from, &to) else { return fail(request, &CallError::from(unsupported(&from, &to))) };
        let buffer = request.with_location(|location| location.conf.get::<Conf>().and_then(|conf| conf.buffer)).unwrap_or(BUFFER);
        let mut conversion = Conversion::new(iconv, buffer, Rc::downgrade(request));
        variable::assign(&**request, target, &conversion.whole(&text));
        Flow::Next
    });
    Ok(())
}

fn attach(at: &mut Attach<'_>) -> Result<(), Error> {
    let conf = at.conf::<Conf>();
    if conf.filter.is_some() {
        at.header_filter(move |request| header_filter(request, &conf));
        transform::attach::<Conversion>(at);
    }
    Ok(())
}

fn header_filter(request: &Rc<Request>, conf: &Conf) -> Step {
    let Some(pair) = &conf.filter else { return Step::Now(Outcome::Ok) };
    // Packed bodies are not text.
    if request.response.borrow().headers.get(b"Content-Encoding").is_some_and(|coding| !coding.is_empty()) {
        return Step::Now(Outcome::Ok);
    }
    let Ok(iconv) = Iconv::open(&pair.from, &pair.to) else {
        log_request!(request, Level::Error, "{}", unsupported(&pair.from, &pair.to));
        return Step::Now(Outcome::Error);
    };
    request.response.borrow_mut().clear_body_facts();
    transform::begin(request, Conversion::new(iconv, conf.buffer.unwrap_or(BUFFER), Rc::downgrade(request)));
    Step::Now(Outcome::Ok)
}

/// A text on its way into another set.
struct Conversion {
    iconv: Iconv,
    buffer: Vec<u8>,
    /// The beginning of a character.
    tail: Vec<u8>,
    /// For the log: the first byte that is no character is told of, not each.
    request: Weak<Request>,
    warned: bool,
}

impl Conversion {
    fn new(iconv: Iconv, buffer: usize, request: Weak<Request>) -> Conversion {
        Conversion { iconv, buffer: vec![0; buffer], tail: Vec::new(), request, warned: false }
    }

    /// Converts `text` until it ends, or ends within a character, or a part is full; how many bytes that took.
    fn run(&mut self, text: &[u8], out: &mut Vec<u8>) -> usize {
        let mut left = text;
        while !left.is_empty() && out.len() < PART {
            let before = left.len();
            let (written, stop) = self.iconv.convert(&mut left, &mut self.buffer);
            out.extend_from_slice(self.buffer.get(..written).unwrap_or_default());
            match stop {
                None => {}
                Some(Stop::Incomplete) => break,
                Some(Stop::Invalid) => {
                    self.replace(out);
                    left = left.get(1..).unwrap_or_default();
                }
                // A buffer that holds not even one character would never get on.
                Some(Stop::Full) if written == 0 && left.len() == before => self.buffer.resize(self.buffer.len() + LONGEST, 0),
                Some(Stop::Full) => {}
            }
        }
        text.len() - left.len()
    }

    fn replace(&mut self, out: &mut Vec<u8>) {
        if !self.warned
            && let Some(request) = self.request.upgrade()
        {
            log_request!(request, Level::Notice, "iconv sees invalid character sequence (EILSEQ)");
            self.warned = true;
        }
        out.push(b'?');
    }

    /// Takes as much of `data` as ends the character that has begun.
    fn join(&mut self, data: &[u8], out: &mut Vec<u8>) -> usize {
        let held = self.tail.len();
        let mut text = std::mem::take(&mut self.tail);
        text.extend(data.iter().take(LONGEST));
        let used = self.run(&text, out);
        if used >= held {
            return used - held;
        }
        text.drain(..used);
        if text.len() > LONGEST && out.len() < PART {
            self.replace(out);
            text.remove(0);
        }
        self.tail = text;
        data.len().min(LONGEST)
    }

    /// All of `text` at once.
    fn whole(&mut self, text: &[u8]) -> Vec<u8> {
        self.tail = text.to_vec();
        let mut out = Vec::new();
        self.end(&mut out);
        out
    }

    /// The text has ended; what it ends within is no character.
    fn end(&mut self, out: &mut Vec<u8>) {
        let text = std::mem::take(&mut self.tail);
        let mut left = text.as_slice();
        while !left.is_empty() {
            let mut part = Vec::new();
            match self.run(left, &mut part) {
                0 => {
                    self.replace(out);
                    left = &[];
                }
                used => left = left.get(used..).unwrap_or_default(),
            }
            out.append(&mut part);
        }
        let written = self.iconv.finish(&mut self.buffer);
        out.extend_from_slice(self.buffer.get(..written).unwrap_or_default());
    }
}

impl Transform for Conversion {
    const NAME: &'static str = "iconv";
    const MARK: u32 = marks::ICONV;

    fn feed(&mut self, data: &[u8], out: &mut Vec<u8>) -> io::Result<usize> {
        if !self.tail.is_empty() {
            return Ok(self.join(data, out));
        }
        let used = self.run(data, out);
        if used < data.len() && out.len() < PART {
            self.tail.extend_from_slice(data.get(used..).unwrap_or_default());
            return Ok(data.len());
        }
        Ok(used)
    }

    fn finish(&mut self, out: &mut Vec<u8>) -> io::Result<()> {
        self.end(out);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;

    fn conversion(from: &str, to: &str, buffer: usize) -> Conversion {
        Conversion::new(Iconv::open(from.as_bytes(), to.as_bytes()).unwrap(), buffer, Weak::new())
    }

    /// The text through the filter in pieces of `size` bytes.
    fn in_pieces(from: &str, to: &str, buffer: usize, text: &[u8], size: usize) -> Vec<u8> {
        let runs = text.chunks(size).map(Bytes::copy_from_slice).collect();
        transform::whole(conversion(from, to, buffer), runs).unwrap().0
    }

    #[test]
    fn pieces_and_buffers_of_any_size_give_the_same() {
        let table: [(&str, &str, &[u8], &[u8]); 9] = [
            ("utf-8", "gbk", "你好，世界".as_bytes(), b"\xc4\xe3\xba\xc3\xa3\xac\xca\xc0\xbd\xe7"),
            ("gbk", "utf-8", b"\xc4\xe3\xba\xc3", "你好".as_bytes()),
            ("latin1", "utf-8", b"caf\xe9", "café".as_bytes()),
            // A character that the target has not is as many marks as it has bytes.
            ("utf-8", "gbk", "1ë2".as_bytes(), b"1??2"),
            ("utf-8", "latin1", b"a\xff\xfeb", b"a??b"),
            // What ends within a character.
            ("utf-8", "latin1", b"a\xc3", b"a?"),
            ("utf-8", "utf-16le", "a\u{1F600}".as_bytes(), b"a\0=\xd8\0\xde"),
            // The last bytes lead back to the first state, once for all pieces.
            ("utf-8", "iso-2022-jp", "日本".as_bytes(), b"\x1b$BF|K\\\x1b(B"),
            ("utf-8", "gbk", b"", b""),
        ];
        for (from, to, text, expected) in table {
            for buffer in [2, 3, 5, 4096] {
                for size in [1, 2, 3, 1000] {
                    let made = in_pieces(from, to, buffer, text, size);
                    assert_eq!(made, expected, "{to} of {} by {size} in {buffer}", text.escape_ascii());
                }
                assert_eq!(conversion(from, to, buffer).whole(text), expected, "{to} of {}", text.escape_ascii());
            }
        }
    }

    #[test]
    fn much_leaves_in_parts_and_loses_nothing() {
        let text = "你".repeat(40_000);
        for size in [7, 64 * 1024, text.len()] {
            let runs = text.as_bytes().chunks(size).map(Bytes::copy_from_slice).collect();
            let (made, longest) = transform::whole(conversion("utf-8", "utf-16be", 4096), runs).unwrap();
            assert_eq!(made, [0x4f, 0x60].repeat(40_000));
            assert!(longest < PART + 4096, "{longest}");
        }
        assert_eq!(conversion("utf-8", "utf-16be", 2).whole(text.as_bytes()).len(), 80_000);
    }
}
