//! `gzip_static`, `brotli_static`: a file that stands compressed beside the one that was asked for.

use crate::accept_gzip::{self, accepted, names_brotli, vary};
use crate::files::{self, Kind, serve};
use base::log::Level;
use conf::context::{Arity, Context};
use conf::row::Row;
use conf::scope::Config;
use http::content_type;
use http::{Attach, Levels, Method, Module, Outcome, Phase, Request, Step};
use std::marker::PhantomData;
use std::rc::Rc;

/// `gzip_static`; it comes before `static`.
pub const GZIP: Module = Module { rows: rows::<Gzip>, levels: levels::<Gzip>, attach: attach::<Gzip>, ..Module::named("gzip_static") };

/// `brotli_static`; it comes before `gzip_static`.
pub const BROTLI: Module =
    Module { rows: rows::<Brotli>, levels: levels::<Brotli>, attach: attach::<Brotli>, ..Module::named("brotli_static") };

/// A coding that files may stand in.
trait Form: 'static {
    const DIRECTIVE: &'static str;
    const SUMMARY: &'static str;
    const SUFFIX: &'static [u8];
    const CODING: &'static [u8];

    /// Whether the client takes it.
    fn accepted(request: &Request, accept: &accept_gzip::Conf) -> bool;
}

struct Gzip;

impl Form for Gzip {
    const DIRECTIVE: &'static str = "gzip_static";
    const SUMMARY: &'static str = "Sends FILE.gz in place of FILE.";
    const SUFFIX: &'static [u8] = b".gz";
    const CODING: &'static [u8] = b"gzip";

    fn accepted(request: &Request, accept: &accept_gzip::Conf) -> bool {
        accepted(request, accept)
    }
}

struct Brotli;

impl Form for Brotli {
    const DIRECTIVE: &'static str = "brotli_static";
    const SUMMARY: &'static str = "Sends FILE.br in place of FILE.";
    const SUFFIX: &'static [u8] = b".br";
    const CODING: &'static [u8] = b"br";

    fn accepted(request: &Request, _: &accept_gzip::Conf) -> bool {
        names_brotli(request)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mode {
    Off,
    On,
    Always,
}

struct Conf<F> {
    mode: Option<Mode>,
    form: PhantomData<F>,
}

impl<F> Default for Conf<F> {
    fn default() -> Self {
        Conf { mode: None, form: PhantomData }
    }
}

impl<F: Form> Config for Conf<F> {
    fn inherit(&mut self, parent: &Self) {
        conf::inherit!(self, parent; mode);
    }
}

fn levels<F: Form>(levels: &mut Levels) {
    levels.location::<Conf<F>>();
}

fn rows<F: Form>() -> Vec<Row> {
    let modes = [("off", Mode::Off), ("on", Mode::On), ("always", Mode::Always)];
    vec![Row::new(F::DIRECTIVE, Context::HTTP_ALL, Arity::exactly(1), F::SUMMARY, move |cx| {
        let mode = cx.choice(0, &modes)?;
        cx.once(&mut cx.location::<Conf<F>>().mode, mode)
    })]
}

fn attach<F: Form>(at: &mut Attach<'_>) -> Result<(), conf::tree::Error> {
    let mode = at.conf::<Conf<F>>().mode.unwrap_or(Mode::Off);
    if mode != Mode::Off {
        let accept = at.conf::<accept_gzip::Conf>();
        at.phase(Phase::Content, move |request| handle::<F>(request, mode, &accept));
    }
    Ok(())
}

fn handle<F: Form>(request: &Rc<Request>, mode: Mode, accept: &accept_gzip::Conf) -> Step {
    let declined = Step::Now(Outcome::Declined);
    if !request.method().intersects(Method::GET.or(Method::HEAD)) || request.line.borrow().uri.last() == Some(&b'/') {
        return declined;
    }
    let willing = mode == Mode::Always || F::accepted(request, accept);
    // Without `gzip_vary` nothing depends on whether the packed file exists.
    if !willing && !accept.varies() {
        return declined;
    }
    let Ok(mut path) = request.map_path() else { return declined };
    path.bytes.extend_from_slice(F::SUFFIX);
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
        response.headers.set(b"Content-Encoding", F::CODING);
        response.allow_ranges = true;
    }
    serve::send(request, file)
}
