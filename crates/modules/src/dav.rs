//! `dav_methods`: files written and removed by clients (RFC 4918: PUT, DELETE, MKCOL, COPY, MOVE).

use crate::files::cache::Files;
use crate::static_files::unmappable;
use base::errno::describe;
use base::log::Level;
use conf::context::{Arity, Context};
use conf::row::{self, Cx, Row};
use conf::scope::Config;
use conf::tree::Error;
use http::output::then;
use http::root::os_path;
use http::{Attach, Levels, Method, Module, Outcome, Phase, Request, Step, body, log_request};
use nix::errno::Errno;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::{Duration, UNIX_EPOCH};
use wire::uri::escape::{Class, escape};

mod transfer;
mod tree;

/// The module; it comes before `static`.
pub const MODULE: Module = Module { rows, levels: Levels::location_only::<Conf>, attach, ..Module::named("dav") };

#[derive(Default)]
struct Conf {
    methods: Option<Method>,
    create_path: Option<bool>,
    min_delete_depth: Option<u64>,
    access: Option<u32>,
}

impl Config for Conf {
    fn inherit(&mut self, parent: &Self) {
        conf::inherit!(self, parent; methods, create_path, min_delete_depth, access);
    }
}

fn rows() -> Vec<Row> {
    let at = Context::HTTP_ALL;
    vec![
        Row::new("dav_methods", at, Arity::AtLeast(1), "WebDAV methods that are allowed.", |cx| {
            let methods = methods(cx)?;
            cx.location::<Conf>().methods = Some(methods);
            Ok(())
        }),
        row::flag::<Conf>("create_full_put_path", at, "Creates the directories that a PUT needs.", |c| &mut c.create_path),
        row::number::<Conf>("min_delete_depth", at, "Fewest path segments of what may be deleted.", |c| &mut c.min_delete_depth),
        Row::new("dav_access", at, Arity::Between(1, 3), "Permissions of new files and directories.", |cx| {
            let access = http::permissions::read(cx)?;
            cx.once(&mut cx.location::<Conf>().access, access)
        }),
    ]
}

fn methods(cx: &Cx<'_>) -> Result<Method, Error> {
    let words = [
        ("off", Method::NONE),
        ("put", Method::PUT),
        ("delete", Method::DELETE),
        ("mkcol", Method::MKCOL),
        ("copy", Method::COPY),
        ("move", Method::MOVE),
    ];
    // As with all sets, what several directives say is added up.
    let mut set = cx.location::<Conf>().methods.unwrap_or(Method::NONE);
    for i in 0..cx.args().len() {
        let method = cx.choice(i, &words)?;
        if method != Method::NONE && set.or(method) == set {
            cx.warn_of_duplicate(i);
        }
        set = set.or(method);
    }
    Ok(set)
}

fn attach(at: &mut Attach<'_>) -> Result<(), Error> {
    let conf = at.conf::<Conf>();
    if conf.methods.is_some_and(|m| m != Method::NONE) {
        at.phase(Phase::Content, move |request| handle(request, &conf));
    }
    Ok(())
}

fn handle(request: &Rc<Request>, conf: &Rc<Conf>) -> Step {
    let method = request.method();
    if !conf.methods.unwrap_or_default().intersects(method) {
        return Step::Now(Outcome::Declined);
    }
    let result = match method {
        Method::PUT => return put(request, conf),
        Method::DELETE => delete(request, conf),
        Method::MKCOL => make_collection(request, conf),
        _ => transfer::copy_or_move(request),
    };
    finish(request, result)
}

/// A status without body, or the refusal.
fn finish(request: &Rc<Request>, result: Result<u16, u16>) -> Step {
    match result {
        Ok(204) => {
            request.response.borrow_mut().set_status(204);
            request.send_header()
        }
        Ok(status) => request.respond(status, b"", bytes::Bytes::new()),
        Err(status) => Step::Now(Outcome::Status(status)),
    }
}

fn ends_with_slash(request: &Request) -> bool {
    request.line.borrow().uri.last() == Some(&b'/')
}

fn map(request: &Request) -> Result<Vec<u8>, u16> {
    request.map_path().map(|p| p.bytes).map_err(|error| match unmappable(error) {
        Outcome::Status(status) => status,
        _ => 500,
    })
}

fn refuse(request: &Request, status: u16, why: &str) -> u16 {
    log_request!(request, Level::Error, "{why}");
    status
}

/// Tells the worker's cache that a path has changed.
fn changed(request: &Request, path: &Path) {
    use std::os::unix::ffi::OsStrExt;
    request.worker.state::<Files>().invalidate(path.as_os_str().as_bytes());
}

/// nginx's status for a failed call on a path, with its log line.
fn failed(request: &Request, error: &io::Error, not_found: u16, call: &str, path: &Path) -> u16 {
    let errno = error.raw_os_error().map_or(Errno::UnknownErrno, Errno::from_raw);
    let (level, status) = match errno {
        Errno::ENOENT | Errno::ENOTDIR | Errno::ENAMETOOLONG => (Level::Error, not_found),
        Errno::EACCES | Errno::EPERM => (Level::Error, 403),
        Errno::EEXIST => (Level::Error, 405),
        Errno::ENOSPC => (Level::Crit, 507),
        _ => (Level::Crit, 500),
    };
    log_request!(request, level, "{call} \"{}\" failed {}", path.display(), describe(error));
    status
}

fn put(request: &Rc<Request>, conf: &Rc<Conf>) -> Step {
    if ends_with_slash(request) {
        return Step::Now(Outcome::Status(refuse(request, 409, "cannot PUT to a collection")));
    }
    if request.headers.borrow().contains(b"Content-Range") {
        return Step::Now(Outcome::Status(refuse(request, 501, "PUT with range is unsupported")));
    }
    request.flags.body_in_file_only.set(true);
    let (request, conf) = (request.clone(), conf.clone());
    then(body::read(&request), move |outcome| match outcome {
        Outcome::Ok => {
            let result = store(&request, &conf);
            finish(&request, result)
        }
        other => Step::Now(other),
    })
}

fn store(request: &Request, conf: &Conf) -> Result<u16, u16> {
    let path = os_path(&map(request)?);
    let status = match fs::metadata(&path) {
        Ok(meta) if meta.is_dir() => {
            let why = format!("\"{}\" could not be created (21: Is a directory)", path.display());
            return Err(refuse(request, 409, &why));
        }
        Ok(_) => 204,
        Err(_) => 201,
    };
    let access = conf.access.unwrap_or(0o600);
    let body = request.body.borrow().clone();
    let (temp, owned) = match body.file() {
        Some(file) => (file.path.clone(), false),
        // A request without body makes an empty file.
        None => (tree::fresh_file(&path, &body.to_vec().unwrap_or_default(), conf.create_path == Some(true), access), true),
    };
    let time = request.headers.borrow().get(b"Date").and_then(wire::date::parse);
    let time = time.and_then(|t| u64::try_from(t).ok()).map(|t| UNIX_EPOCH + Duration::from_secs(t));
    let moved = tree::rename_with(&temp, &path, access, time, conf.create_path == Some(true));
    if let Err((call, at, error)) = moved {
        if owned {
            // The rename has failed and is reported; what is left of it is of no use.
            let _ = fs::remove_file(&temp);
        }
        return Err(failed(request, &error, 500, call, &at));
    }
    changed(request, &path);
    if status == 201 {
        set_location(request);
    }
    Ok(status)
}

fn set_location(request: &Request) {
    let mut target = Vec::new();
    escape(&request.line.borrow().uri, Class::Uri, &mut target);
    request.response.borrow_mut().redirect_to(&target);
}

fn has_body(request: &Request) -> bool {
    let body = request.body.borrow();
    !body.is_none() && body.length() != Some(0)
}

/// `Depth`: `Some(None)` is infinity.
fn depth(request: &Request, default: Option<u8>) -> Result<Option<u8>, u16> {
    let headers = request.headers.borrow();
    match headers.get(b"Depth") {
        None => Ok(default),
        Some(b"0") => Ok(Some(0)),
        Some(b"1") => Ok(Some(1)),
        Some(b"infinity") => Ok(None),
        Some(other) => {
            let other = String::from_utf8_lossy(other);
            Err(refuse(request, 400, &format!("client sent invalid \"Depth\" header: \"{other}\"")))
        }
    }
}

fn delete(request: &Request, conf: &Conf) -> Result<u16, u16> {
    if has_body(request) {
        return Err(refuse(request, 415, "DELETE with body is unsupported"));
    }
    let least = conf.min_delete_depth.unwrap_or(0);
    if least > 0 {
        let segments = segments(&request.line.borrow().uri);
        if segments < least {
            return Err(refuse(request, 409, &format!("insufficient URI depth:{segments} to DELETE")));
        }
    }
    let mut path = map(request)?;
    let slash = ends_with_slash(request);
    let meta = fs::symlink_metadata(os_path(&path));
    let meta = match meta {
        Ok(meta) => meta,
        Err(error) => {
            // A file asked for as a directory exists, but not as that.
            let not_found = if error.raw_os_error() == Some(Errno::ENOTDIR as i32) { 409 } else { 404 };
            return Err(failed(request, &error, not_found, "lstat()", &os_path(&path)));
        }
    };
    if meta.is_dir() {
        if !slash {
            return Err(refuse(request, 409, &format!("DELETE \"{}\" failed (21: Is a directory)", os_path(&path).display())));
        }
        if depth(request, None)?.is_some() {
            return Err(refuse(request, 400, "\"Depth\" header must be infinity"));
        }
        path.pop();
    } else if depth(request, Some(0))? == Some(1) {
        return Err(refuse(request, 400, "\"Depth\" header must be 0 or infinity"));
    }
    let path = os_path(&path);
    remove(request, &path, meta.is_dir())?;
    Ok(204)
}

fn remove(request: &Request, path: &Path, directory: bool) -> Result<(), u16> {
    let (result, call) = if directory { (remove_directory(request, path)?, "rmdir()") } else { (fs::remove_file(path), "unlink()") };
    changed(request, path);
    result.map_err(|error| failed(request, &error, 404, call, path))
}

/// Removes what is in a directory, as far as that is possible, and it.
fn remove_directory(request: &Request, path: &Path) -> Result<io::Result<()>, u16> {
    // It follows no link, whoever changes the tree meanwhile.
    if fs::remove_dir_all(path).is_ok() {
        return Ok(Ok(()));
    }
    let mut left = |call: &str, at: &Path, error: &io::Error| {
        if call == "opendir()" {
            log_request!(request, Level::Crit, "{call} \"{}\" failed {}", at.display(), describe(error));
        } else {
            failed(request, error, 0, call, at);
        }
    };
    if !tree::remove_contents(path, &mut left) {
        return Err(500);
    }
    Ok(fs::remove_dir(path))
}

/// Slashes that something follows, as `min_delete_depth` counts.
fn segments(uri: &[u8]) -> u64 {
    uri.windows(2).filter(|pair| pair.first() == Some(&b'/')).count() as u64
}

fn make_collection(request: &Request, conf: &Conf) -> Result<u16, u16> {
    if has_body(request) {
        return Err(refuse(request, 415, "MKCOL with body is unsupported"));
    }
    if !ends_with_slash(request) {
        return Err(refuse(request, 409, "MKCOL can create a collection only"));
    }
    let path: PathBuf = os_path(&map(request)?);
    match tree::make_directory(&path, conf.access.unwrap_or(0o600)) {
        Ok(()) => {
            set_location(request);
            Ok(201)
        }
        // The slash is not part of the name that nginx makes.
        Err(error) => Err(failed(request, &error, 409, "mkdir()", path.components().as_path())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn depth_counts_slashes_before_something() {
        for (uri, want) in [(&b"/"[..], 0), (b"/a", 1), (b"/a/", 1), (b"/a/b", 2), (b"/a/b/c/", 3)] {
            assert_eq!(segments(uri), want, "{}", String::from_utf8_lossy(uri));
        }
    }
}
