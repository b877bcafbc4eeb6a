//! `gzip_static`: a file that stands packed beside the one that was asked for.

use crate::accept_gzip::{self, accepted, vary};
use crate::files::{self, Kind, serve};
use base::log::Level;
use conf::context::{Arity, Context};
use conf::row::Row;
use conf::scope::Config;
use http::content_type;
use http::{Attach, Levels, Method, Module, Outcome, Phase, Request, Step};
use std::rc::Rc;

/// The module; it comes before `static`.
pub const MODULE: Module = Module { rows, levels: Levels::own::<Conf>, attach, ..Module::named("gzip_static") };

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mode {
    Off,
    On,
    Always,
}

#[derive(Default)]
struct Conf {
    mode: Option<Mode>,
}

impl Config for Conf {
    fn inherit(&mut self, parent: &Self) {
        conf::inherit!(self, parent; mode);
    }
}

fn rows() -> Vec<Row> {
    let modes = [("off", Mode::Off), ("on", Mode::On), ("always", Mode::Always)];
    vec![Row::new("gzip_static", Context::HTTP_ALL, Arity::exactly(1), "Sends FILE.gz in place of FILE.", move |cx| {
        let mode = cx.choice(0, &modes)?;
        cx.once(&mut cx.location::<Conf>().mode, mode)
    })]
}

fn attach(at: &mut Attach<'_>) -> Result<(), conf::tree::Error> {
    let mode = at.conf::<Conf>().mode.unwrap_or(Mode::Off);
    if mode != Mode::Off {
        let accept = at.conf::<accept_gzip::Conf>();
        at.phase(Phase::Content, move |request| handle(request, mode, &accept));
    }
    Ok(())
}

fn handle(request: &Rc<Request>, mode: Mode, accept: &accept_gzip::Conf) -> Step {
    let declined = Step::Now(Outcome::Declined);
    if !request.method().intersects(Method::GET.or(Method::HEAD)) || request.line.borrow().uri.last() == Some(&b'/') {
        return declined;
    }
    let willing = mode == Mode::Always || accepted(request, accept);
    // Without `gzip_vary` nothing depends on whether the packed file exists.
    if !willing && !accept.varies() {
        return declined;
    }
    let Ok(mut path) = request.map_path() else { return declined };
    path.bytes.extend_from_slice(b".gz");
    let file = match files::open(request, &path) {
        Ok(file) => file,
        Err(failure) => {
            if failure.status() == 500 {
                serve::log_failure(request, Level::Crit, failure, &path.bytes);
            } else if failure.status() == 403 {
                serve::log_failure(request, Level::Error, failure, &path.bytes);
            }
            return declined;
        }
    };
    if file.identity.kind != Kind::File {
        return declined;
    }
    if mode == Mode::On {
        vary(request, accept);
        if !willing {
            return declined;
        }
    }
    serve::describe(request, &file);
    content_type::set_by_extension(request);
    {
        let mut response = request.response.borrow_mut();
        response.headers.set(b"Content-Encoding", b"gzip");
        response.allow_ranges = true;
    }
    serve::send(request, file)
}
