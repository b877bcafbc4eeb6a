//! `index`: index files of directories.

use crate::compile::complex;
use crate::files::Kind;
use crate::files::cache::examine;
use crate::files::open::Failure;
use crate::files::serve::log_failure;
use crate::static_files::unmappable;
use base::errno::strerror;
use base::log::Level;
use conf::context::{Arity, Context};
use conf::row::Row;
use conf::scope::Config;
use http::path::MappedPath;
use http::{Attach, Complex, Jump, Levels, Method, Module, Outcome, Phase, Request, Step, log_request};
use nix::errno::Errno;
use std::rc::Rc;

/// The module; it stands before the listing modules and `static`.
pub const MODULE: Module = Module { rows, levels: Levels::location_only::<Conf>, attach, ..Module::named("index") };

/// Names to try, in order.
#[derive(Default)]
struct Conf {
    names: Option<Rc<Vec<Complex>>>,
}

impl Config for Conf {
    fn inherit(&mut self, parent: &Self) {
        conf::inherit!(self, parent; names);
    }
}

fn rows() -> Vec<Row> {
    let doc = "Names the files that stand for a directory, tried in order.";
    vec![Row::new("index", Context::HTTP_ALL, Arity::AtLeast(1), doc, |cx| {
        let mut names = Vec::new();
        for i in 0..cx.args().len() {
            if cx.arg(i).is_empty() {
                return Err(cx.error_at(i, "index \"\" in \"index\" directive is invalid"));
            }
            if cx.arg(i).first() == Some(&b'/') && i + 1 < cx.args().len() {
                cx.warn("only the last index in \"index\" directive should be absolute");
            }
            names.push(complex(cx, i)?);
        }
        let mut conf = cx.location::<Conf>();
        let earlier = conf.names.take().map(|n| n.to_vec()).unwrap_or_default();
        conf.names = Some(Rc::new(earlier.into_iter().chain(names).collect()));
        Ok(())
    })]
}

fn attach(at: &mut Attach<'_>) -> Result<(), conf::tree::Error> {
    let names = at.conf::<Conf>().names.clone().unwrap_or_else(|| Rc::new(vec![Complex::from_literal(b"index.html")]));
    at.phase(Phase::Content, move |request| Step::Now(handle(request, &names)));
    Ok(())
}

fn handle(request: &Rc<Request>, names: &[Complex]) -> Outcome {
    if request.line.borrow().uri.last() != Some(&b'/') || !request.method().intersects(Method::GET.or(Method::HEAD).or(Method::POST)) {
        return Outcome::Declined;
    }
    let mut path = MappedPath::default();
    let mut directory_length = None;
    let mut tested = false;
    for name in names {
        let name = name.to_vec(&**request);
        if name.first() == Some(&b'/') {
            return redirect(request, name);
        }
        let base = match directory_length {
            Some(length) => length,
            None => match request.map_path_into(&mut path) {
                Ok(()) => *directory_length.insert(path.bytes.len()),
                Err(error) => return unmappable(error),
            },
        };
        path.bytes.truncate(base);
        path.bytes.extend_from_slice(&name);
        let failure = match examine(request, &path) {
            Ok(_) => {
                let mut uri = request.line.borrow().uri.clone();
                uri.extend_from_slice(&name);
                return redirect(request, uri);
            }
            Err(failure) => failure,
        };
        if let Some(outcome) = refused(request, failure, &path.bytes) {
            return outcome;
        }
        if !std::mem::replace(&mut tested, true)
            && let Some(outcome) = test_directory(request, &path, base)
        {
            return outcome;
        }
        if failure.errno != Errno::ENOENT as i32 {
            log_failure(request, Level::Crit, failure, &path.bytes);
            return Outcome::Status(500);
        }
    }
    Outcome::Declined
}

fn redirect(request: &Request, uri: Vec<u8>) -> Outcome {
    let args = request.line.borrow().args.clone();
    request.jump(Jump::Internal { uri, args })
}

/// The answer to failures that end the search.
fn refused(request: &Request, failure: Failure, path: &[u8]) -> Option<Outcome> {
    let number = failure.errno;
    let path = String::from_utf8_lossy(path);
    match Errno::from_raw(number) {
        Errno::EMLINK | Errno::ELOOP => Some(Outcome::Status(403)),
        Errno::EACCES => {
            log_request!(request, Level::Error, "\"{path}\" is forbidden ({number}: {})", strerror(number));
            Some(Outcome::Status(403))
        }
        Errno::ENOTDIR | Errno::ENAMETOOLONG => {
            not_found(request, &path, number);
            Some(Outcome::Status(404))
        }
        _ => None,
    }
}

fn not_found(request: &Request, path: &str, number: i32) {
    if request.with_location(|l| l.core.log_not_found) != Some(false) {
        log_request!(request, Level::Error, "\"{path}\" is not found ({number}: {})", strerror(number));
    }
}

/// Checks once that the directory is there, so that its absence is a 404 and not a 403.
fn test_directory(request: &Request, file: &MappedPath, length: usize) -> Option<Outcome> {
    let mut directory = MappedPath { bytes: file.bytes.get(..length).unwrap_or_default().to_vec(), root_length: file.root_length };
    if directory.bytes.len() > 1 && directory.bytes.ends_with(b"/") {
        directory.bytes.pop();
    }
    let failure = match examine(request, &directory) {
        Ok(Kind::Directory) => return None,
        Ok(_) => {
            log_request!(request, Level::Alert, "\"{}\" is not a directory", String::from_utf8_lossy(&directory.bytes));
            return Some(Outcome::Status(500));
        }
        // What may be searched may not be read: the next name may be there.
        Err(failure) if failure.errno == Errno::EACCES as i32 => return None,
        Err(failure) => failure,
    };
    if failure.errno == Errno::ENOENT as i32 {
        not_found(request, &String::from_utf8_lossy(&file.bytes), failure.errno);
        return Some(Outcome::Status(404));
    }
    refused(request, failure, &file.bytes).or_else(|| {
        log_failure(request, Level::Crit, failure, &directory.bytes);
        Some(Outcome::Status(500))
    })
}
