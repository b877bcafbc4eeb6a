//! Files below `root`: the content handler of every location that has no other.

use crate::files::cache::{Files, Opened};
use crate::files::serve;
use crate::files::{self, Kind};
use base::log::Level;
use http::content_type;
use http::path::{MappedPath, PathError};
use http::{Attach, Method, Module, Outcome, Phase, Request, Step, log_request};
use std::rc::Rc;
use wire::uri::escape::{Class, escape};

/// The module.
pub const MODULE: Module = Module { attach, ..Module::named("static") };

fn attach(at: &mut Attach<'_>) -> Result<(), conf::tree::Error> {
    at.phase(Phase::Content, handle);
    Ok(())
}

/// Answers with the file that the URI names.
fn handle(request: &Rc<Request>) -> Step {
    if !request.method().intersects(Method::GET.or(Method::HEAD).or(Method::POST)) {
        return Step::Now(Outcome::Status(405));
    }
    if request.line.borrow().uri.last() == Some(&b'/') {
        return Step::Now(Outcome::Declined);
    }
    let files = request.worker.state::<Files>();
    let mut path = files.path();
    let step = match request.map_path_into(&mut path) {
        Ok(()) => serve(request, &path),
        Err(error) => Step::Now(unmappable(error)),
    };
    files.put_back(path);
    step
}

/// The status for a URI that has no path.
pub(crate) fn unmappable(error: PathError) -> Outcome {
    Outcome::Status(match error {
        PathError::Escapes => 404,
        PathError::Nul => 400,
        PathError::Rewritten => 500,
    })
}

fn serve(request: &Rc<Request>, path: &MappedPath) -> Step {
    let file = match files::open(request, path) {
        Ok(file) => file,
        Err(failure) => return Step::Now(serve::refuse(request, failure, &path.bytes)),
    };
    match file.identity.kind {
        Kind::File => {}
        Kind::Directory => return Step::Now(to_slash(request)),
        Kind::Other => {
            log_request!(request, Level::Crit, "\"{}\" is not a regular file", String::from_utf8_lossy(&path.bytes));
            return Step::Now(Outcome::Status(404));
        }
    }
    if request.method() == Method::POST {
        return Step::Now(Outcome::Status(405));
    }
    serve::describe(request, &file);
    content_type::set_by_extension(request);
    request.response.borrow_mut().allow_ranges = true;
    serve::send(request, file)
}

/// The file of a request for a video, with its path.
///
/// # Errors
/// The outcome where there is none: the request is not for a file, or it cannot be opened.
pub(crate) fn open_video(request: &Rc<Request>) -> Result<(Rc<Opened>, Vec<u8>), Outcome> {
    if !request.method().intersects(Method::GET.or(Method::HEAD)) {
        return Err(Outcome::Status(405));
    }
    if request.line.borrow().uri.last() == Some(&b'/') {
        return Err(Outcome::Declined);
    }
    let path = request.map_path().map_err(unmappable)?;
    let file = files::open(request, &path).map_err(|failure| serve::refuse(request, failure, &path.bytes))?;
    match file.identity.kind {
        Kind::File => Ok((file, path.bytes)),
        _ => Err(Outcome::Declined),
    }
}

/// Redirects to the same URI with a slash.
fn to_slash(request: &Request) -> Outcome {
    let mut target = Vec::new();
    {
        let line = request.line.borrow();
        escape(&line.uri, Class::Uri, &mut target);
        target.push(b'/');
        if !line.args.is_empty() {
            target.push(b'?');
            target.extend_from_slice(&line.args);
        }
    }
    request.response.borrow_mut().redirect_to(&target);
    Outcome::Status(301)
}
