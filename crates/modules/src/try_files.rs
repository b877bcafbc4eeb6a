//! `try_files`: the first of several files that exists, or a fallback.

use crate::compile::complex_of;
use crate::files::Kind;
use crate::files::cache::examine;
use crate::files::serve::log_failure;
use crate::static_files::unmappable;
use base::log::Level;
use base::text;
use conf::context::{Arity, Context};
use conf::row::{Cx, Row};
use conf::scope::Config;
use conf::tree::Error;
use http::path::{MappedPath, PathError, UriBelowAlias};
use http::{Attach, Complex, Jump, Levels, Module, Outcome, Phase, Request, Step};
use std::rc::Rc;

/// The module.
pub const MODULE: Module = Module { rows, levels: Levels::location_only::<Conf>, attach, ..Module::named("try_files") };

struct Candidate {
    name: Complex,
    directory: bool,
}

enum Fallback {
    Code(u16),
    Uri(Complex),
}

struct Plan {
    candidates: Vec<Candidate>,
    fallback: Fallback,
}

#[derive(Default)]
struct Conf {
    plan: Option<Rc<Plan>>,
}

impl Config for Conf {
    // A location tries only what it says itself.
    fn inherit(&mut self, _: &Self) {}
}

fn rows() -> Vec<Row> {
    let doc = "Serves the first file that exists, or goes to the last argument.";
    vec![Row::new("try_files", Context::SERVER.union(Context::LOCATION), Arity::AtLeast(2), doc, |cx| {
        let plan = Rc::new(read(cx)?);
        cx.once(&mut cx.location::<Conf>().plan, plan)
    })]
}

fn read(cx: &Cx<'_>) -> Result<Plan, Error> {
    let last = cx.args().len() - 1;
    let mut candidates = Vec::new();
    for i in 0..last {
        let arg = cx.arg(i);
        let directory = arg.len() > 1 && arg.ends_with(b"/");
        let name = if directory { arg.get(..arg.len() - 1).unwrap_or_default() } else { arg };
        candidates.push(Candidate { name: complex_of(cx, i, name)?, directory });
    }
    let arg = cx.arg(last);
    let fallback = match arg.strip_prefix(b"=") {
        Some(code) => {
            let code = text::parse_number(code).and_then(|c| u16::try_from(c).ok()).filter(|c| *c <= 999);
            Fallback::Code(code.ok_or_else(|| cx.error_at(last, format!("invalid code \"{}\"", cx.text(last).trim_start_matches('='))))?)
        }
        None => Fallback::Uri(complex_of(cx, last, arg)?),
    };
    Ok(Plan { candidates, fallback })
}

fn attach(at: &mut Attach<'_>) -> Result<(), Error> {
    if let Some(plan) = at.conf::<Conf>().plan.clone() {
        at.phase(Phase::Precontent, move |request| Step::Now(handle(request, &plan)));
    }
    Ok(())
}

fn handle(request: &Rc<Request>, plan: &Plan) -> Outcome {
    let (cut, captures) = request.with_location(|l| match &l.core.root {
        Some(root) if root.alias => (root.cut, root.cut.is_none()),
        _ => (None, false),
    });
    let mut path = MappedPath::default();
    let mut name = Vec::new();
    for candidate in &plan.candidates {
        name.clear();
        candidate.name.eval(&**request, &mut name);
        match map(request, &mut name, cut, &mut path) {
            Ok(()) => {}
            Err(PathError::Escapes) => continue,
            Err(error) => return unmappable(error),
        }
        if captures {
            path.bytes.extend_from_slice(&name);
        }
        let kind = match examine(request, &path) {
            Ok(kind) => kind,
            Err(failure) => {
                if failure.status() != 404 {
                    log_failure(request, Level::Crit, failure, &path.bytes);
                }
                continue;
            }
        };
        if (kind == Kind::Directory) == candidate.directory {
            if !captures || !candidate.directory {
                request.line.borrow_mut().set_uri(&name);
            }
            if captures && !candidate.directory {
                request.set_context(Rc::new(UriBelowAlias));
            }
            return Outcome::Declined;
        }
    }
    match &plan.fallback {
        Fallback::Code(code) => Outcome::Status(*code),
        Fallback::Uri(uri) => redirect_to(request, &uri.to_vec(&**request)),
    }
}

/// The path of a candidate. Below an alias the candidate is given with or without the part that the alias cuts off;
/// `name` becomes the URI that it stands for.
fn map(request: &Request, name: &mut Vec<u8>, cut: Option<usize>, path: &mut MappedPath) -> Result<(), PathError> {
    if let Some(cut) = cut {
        let line = request.line.borrow();
        let prefix = line.uri.get(..cut).unwrap_or_default();
        if !name.starts_with(prefix) {
            name.splice(0..0, prefix.iter().copied());
        }
    }
    request.map_uri_into(name, path)
}

fn redirect_to(request: &Request, target: &[u8]) -> Outcome {
    if let Some(name) = target.strip_prefix(b"@") {
        return request.jump(Jump::Named(name.to_vec()));
    }
    let (uri, args) = match memchr::memchr(b'?', target) {
        Some(at) => (target.get(..at).unwrap_or_default(), target.get(at + 1..).unwrap_or_default()),
        None => (target, &[][..]),
    };
    request.jump(Jump::Internal { uri: uri.to_vec(), args: args.to_vec() })
}
