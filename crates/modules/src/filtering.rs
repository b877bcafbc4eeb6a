//! What filters that change bodies share: bytes in memory, types that they apply to, validators that no longer hold.

use bytes::Bytes;
use conf::row::Cx;
use conf::tree::Error;
use foldhash::HashSet;
use http::response::Response;
use http::{FilePiece, Piece, Request};
use std::fs::File;
use std::io;
use std::rc::Rc;

/// Says that a body filter of this answer reads the body.
pub(crate) fn want_memory(request: &Request) {
    request.flags.reads_body.set(true);
}

/// Bytes read from a file at a time.
const STEP: u64 = 32 * 1024;

/// Reads a part of a file; shorter if the file ends before.
///
/// # Errors
/// Those of `pread(2)`.
pub(crate) fn read_at(file: &File, start: u64, length: usize) -> io::Result<Vec<u8>> {
    let mut data = Vec::with_capacity(length);
    while data.len() < length {
        let (done, left) = (data.len(), length - data.len());
        if sys::descriptor::read_at(file, &mut data, start + done as u64, left)? == 0 {
            break;
        }
    }
    Ok(data)
}

/// Runs `f` on the bytes of a piece, file or not, in order.
///
/// # Errors
/// Those of reading the file; what `f` answers.
pub(crate) fn each_run(piece: &Piece, mut f: impl FnMut(&[u8]) -> io::Result<()>) -> io::Result<()> {
    each_bytes(piece, |bytes| f(&bytes))
}

/// As [`each_run`], for those who keep the bytes.
///
/// # Errors
/// As there.
pub(crate) fn each_bytes(piece: &Piece, mut f: impl FnMut(Bytes) -> io::Result<()>) -> io::Result<()> {
    let FilePiece { file, start, end } = match piece {
        Piece::Bytes(bytes) => return f(bytes.clone()),
        Piece::File(file) => file,
    };
    let mut at = *start;
    while at < *end {
        let data = read_at(file, at, (*end - at).min(STEP) as usize)?;
        if data.is_empty() {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        at += data.len() as u64;
        f(data.into())?;
    }
    Ok(())
}

/// `*_types`: which content types a filter applies to.
#[derive(Clone, Debug)]
pub(crate) enum Types {
    /// `*`
    All,
    /// These, in lower case.
    Some(Rc<HashSet<Box<[u8]>>>),
}

impl Types {
    /// These and no others.
    pub(crate) fn of(list: &[&str]) -> Types {
        Types::Some(Rc::new(list.iter().map(|t| t.as_bytes().into()).collect()))
    }

    /// As [`Types::add_to`], for filters of `text/html`.
    pub(crate) fn add(own: &mut Option<Types>, cx: &Cx<'_>) {
        Types::add_to(own, &["text/html"], cx);
    }

    /// Adds the arguments of a `*_types` directive to those of earlier ones; the usual ones are always among them.
    pub(crate) fn add_to(own: &mut Option<Types>, usual: &[&str], cx: &Cx<'_>) {
        let own = own.get_or_insert_with(|| Types::of(usual));
        for word in cx.args() {
            let Types::Some(set) = own else { return };
            if word.bytes == b"*" {
                *own = Types::All;
                return;
            }
            let name = word.bytes.to_ascii_lowercase();
            let shown = String::from_utf8_lossy(&name).into_owned();
            if !Rc::make_mut(set).insert(name.into()) {
                cx.warn(format!("duplicate MIME type \"{shown}\""));
            }
        }
    }

    /// Whether the response has such a type.
    pub(crate) fn matches(&self, response: &Response) -> bool {
        match self {
            // `*` is every answer, even one that names no type.
            Types::All => true,
            Types::Some(set) => match type_of(response) {
                name if name.iter().any(u8::is_ascii_uppercase) => set.contains(&*name.to_ascii_lowercase()),
                name => set.contains(name),
            },
        }
    }
}

/// Whether an answer is of one of the types that a filter is for: `text/html` if none are named.
pub(crate) fn type_matches(types: Option<&Types>, response: &Response) -> bool {
    admits_or(types, &["text/html"], response)
}

/// As [`admits`], where other types than `text/html` are the usual ones.
pub(crate) fn admits_or(types: Option<&Types>, usual: &[&str], response: &Response) -> bool {
    let is_usual = || usual.iter().any(|usual| type_of(response).eq_ignore_ascii_case(usual.as_bytes()));
    types.map_or_else(is_usual, |types| types.matches(response))
}

/// The content type without parameters.
fn type_of(response: &Response) -> &[u8] {
    let full = &response.content_type;
    let end = memchr::memchr2(b';', b' ', full).unwrap_or(full.len());
    full.get(..end).unwrap_or(full)
}

/// What the head says of the body no longer holds, since the body will be another; `Last-Modified` may stay (`*_last_modified`).
pub(crate) fn forget_body(request: &Request, keep_time: bool) {
    if request.is_main() {
        let mut response = request.response.borrow_mut();
        response.clear_body_facts();
        if keep_time { weaken_etag(&mut response) } else { clear_validators(&mut response) }
    }
}

/// A body that was transformed is the same only by meaning: its tag becomes weak (RFC 9110 section 8.8.1).
pub(crate) fn weaken_etag(response: &mut Response) {
    let Some(tag) = response.headers.get(b"ETag") else { return };
    if tag.starts_with(b"W/") && tag.len() > 2 {
        return;
    }
    if !tag.starts_with(b"\"") {
        response.headers.remove(b"ETag");
        return;
    }
    let weak = [b"W/", tag].concat();
    response.headers.set(b"ETag", &weak);
}

/// Forgets tag and time of a body that was changed beyond meaning.
pub(crate) fn clear_validators(response: &mut Response) {
    response.headers.remove(b"ETag");
    response.headers.remove(b"Last-Modified");
    response.last_modified = None;
}

/// `number size`, the arguments of `*_buffers`. Buffers are the memory's affair here, so the values are only checked.
///
/// # Errors
/// nginx's `invalid value`.
pub(crate) fn check_buffers(cx: &Cx<'_>) -> Result<(), Error> {
    if cx.number(0).unwrap_or(0) == 0 {
        return Err(cx.invalid_value(0));
    }
    if cx.size(1)? == 0 { Err(cx.invalid_value(1)) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_ignore_parameters_and_case() {
        let types = Types::of(&["text/html"]);
        let mut response = Response::default();
        assert!(!types.matches(&response) && Types::All.matches(&response));
        response.set_content_type(b"Text/HTML; charset=x");
        assert!(types.matches(&response));
        response.set_content_type(b"text/htm");
        assert!(!types.matches(&response));
    }

    #[test]
    fn tags_become_weak_once() {
        let mut response = Response::default();
        response.headers.set(b"ETag", b"\"a\"");
        weaken_etag(&mut response);
        weaken_etag(&mut response);
        assert_eq!(response.headers.get(b"etag"), Some(&b"W/\"a\""[..]));
        response.headers.set(b"ETag", b"bare");
        weaken_etag(&mut response);
        assert!(!response.headers.contains(b"ETag"));
    }

    #[test]
    fn a_file_that_shrank_is_an_error() {
        let path = std::env::temp_dir().join(format!("lunette-runs-{}", std::process::id()));
        std::fs::write(&path, b"0123456789").unwrap();
        let file = Rc::new(File::open(&path).unwrap());
        std::fs::remove_file(&path).unwrap();
        let mut seen = Vec::new();
        let mut run = |start, end| {
            each_run(&Piece::File(FilePiece { file: file.clone(), start, end }), |data| {
                seen.extend_from_slice(data);
                Ok(())
            })
        };
        assert!(run(2, 5).is_ok());
        assert!(run(8, 20).is_err());
        assert_eq!(seen, b"23489");
    }
}
