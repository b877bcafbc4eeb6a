//! `mirror`: sends a copy of each request elsewhere and ignores the response.

use crate::collector::{Collector, subrequest};
use conf::context::{Arity, Context};
use conf::row::{self, Row};
use conf::scope::Config;
use http::output::then;
use http::{Attach, Levels, Module, Outcome, Phase, Request, Step, body};
use std::rc::Rc;

/// The module.
pub const MODULE: Module = Module { rows, levels: Levels::location_only::<Conf>, attach, ..Module::named("mirror") };

#[derive(Default)]
struct Conf {
    /// `Some` and empty is `off`.
    uris: Option<Vec<Box<[u8]>>>,
    body: Option<bool>,
}

impl Config for Conf {
    fn inherit(&mut self, parent: &Self) {
        conf::inherit!(self, parent; uris, body);
    }
}

fn rows() -> Vec<Row> {
    let at = Context::HTTP_ALL;
    vec![
        Row::new("mirror", at, Arity::exactly(1), "URI that gets a copy of each request, or off.", |cx| {
            let mut conf = cx.location::<Conf>();
            if cx.arg(0) == b"off" {
                return cx.once(&mut conf.uris, Vec::new());
            }
            match &mut conf.uris {
                Some(uris) if uris.is_empty() => Err(cx.duplicate()),
                Some(uris) => {
                    uris.push(cx.arg(0).into());
                    Ok(())
                }
                slot => {
                    *slot = Some(vec![cx.arg(0).into()]);
                    Ok(())
                }
            }
        }),
        row::flag::<Conf>("mirror_request_body", at, "Copies the body too.", |c| &mut c.body),
    ]
}

fn attach(at: &mut Attach<'_>) -> Result<(), conf::tree::Error> {
    let conf = at.conf::<Conf>();
    if conf.uris.as_ref().is_some_and(|u| !u.is_empty()) {
        at.phase(Phase::Precontent, move |request| handle(request, &conf));
    }
    Ok(())
}

fn handle(request: &Rc<Request>, conf: &Rc<Conf>) -> Step {
    if !request.is_main() {
        return Step::Now(Outcome::Declined);
    }
    if conf.body == Some(false) {
        copy(request, conf);
        return Step::Now(Outcome::Declined);
    }
    let (request, conf) = (request.clone(), conf.clone());
    then(body::read(&request), move |outcome| match outcome {
        Outcome::Ok => {
            copy(&request, &conf);
            Step::Now(Outcome::Declined)
        }
        other => Step::Now(other),
    })
}

/// Starts the copies; the client does not wait for them.
fn copy(request: &Rc<Request>, conf: &Conf) {
    for uri in conf.uris.iter().flatten() {
        let method = {
            let line = request.line.borrow();
            (line.method, line.method_name.clone())
        };
        let args = request.line.borrow().args.clone();
        let Some(child) = subrequest(request, (uri, &args), Collector::discarding(), Some((method.0, &method.1))) else { return };
        if conf.body == Some(false) {
            child.body.replace(Rc::new(body::Body::none()));
        }
        let Some(engine) = request.worker.engine() else { return };
        if let Some(running) = engine.run(&child) {
            request.worker.spawn(running);
        }
    }
}
