//! `auth_request`: access by the response of a subrequest (nginx manual, `ngx_http_auth_request_module`).

use crate::auth_basic::delayed;
use crate::block;
use crate::compile::complex;
use base::log::Level;
use conf::context::{Arity, Context};
use conf::row::{Cx, Row};
use conf::scope::Config;
use conf::tree::Error;
use http::discard::Discard;
use http::request::{Subrequest, SubrequestBody, SubrequestVariables};
use http::variables::getter;
use http::{Attach, Complex, Levels, Module, Outcome, Phase, Request, Step, Variables, log_request};
use session::variable::{self, CHANGEABLE, VarIndex};
use std::rc::Rc;

/// Access by subrequest. In the access phase, behind `auth_basic`.
pub const MODULE: Module = Module { rows, levels: Levels::location_only::<AuthRequest>, attach, ..Module::named("auth_request") };

#[derive(Default)]
struct AuthRequest {
    /// Empty is `off`.
    uri: Option<Box<[u8]>>,
    set: Option<Vec<(VarIndex, Rc<Complex>)>>,
}

impl Config for AuthRequest {
    fn inherit(&mut self, parent: &Self) {
        conf::inherit!(self, parent; uri, set);
    }
}

fn rows() -> Vec<Row> {
    vec![
        Row::new("auth_request", Context::HTTP_ALL, Arity::exactly(1), "Asks a location whether a request may pass.", |cx| {
            let uri = if cx.arg(0) == b"off" { b"" } else { cx.arg(0) };
            cx.once(&mut cx.location::<AuthRequest>().uri, uri.into())
        }),
        Row::new("auth_request_set", Context::HTTP_ALL, Arity::exactly(2), "Sets a variable from the response.", set),
    ]
}

fn set(cx: &mut Cx<'_>) -> Result<(), Error> {
    let name = block::variable_name(cx, 0)?;
    let index = {
        let mut variables = cx.global::<Variables>();
        let index = variables.add(&name, None, CHANGEABLE).map_err(|message| cx.error_at(0, message))?;
        variables.define_default(&name, getter(|_, _| false));
        index
    };
    let value = Rc::new(complex(cx, 1)?);
    cx.location::<AuthRequest>().set.get_or_insert_default().push((index, value));
    Ok(())
}

fn attach(place: &mut Attach<'_>) -> Result<(), Error> {
    let own = place.conf::<AuthRequest>();
    if own.uri.as_ref().is_some_and(|uri| !uri.is_empty()) {
        place.phase(Phase::Access, move |request| start_subrequest(request, &own));
    }
    Ok(())
}

fn start_subrequest(request: &Rc<Request>, own: &Rc<AuthRequest>) -> Step {
    let Some(engine) = request.worker.engine() else { return Step::Now(Outcome::Status(500)) };
    let what = Subrequest {
        uri: own.uri.as_deref().unwrap_or_default(),
        args: b"",
        method: None,
        wire: Rc::new(Discard),
        body: SubrequestBody::Nothing,
        variables: SubrequestVariables::Shared,
    };
    let child = match engine.subrequest(request, what) {
        Ok(child) => child,
        Err(error) => {
            request.log(Level::Error, error.to_string().as_bytes());
            return Step::Now(Outcome::Status(500));
        }
    };
    child.flags.header_only.set(true);
    match engine.run(&child) {
        None => delayed(request, decide(request, &child, own)),
        Some(future) => {
            let (request, own) = (request.clone(), own.clone());
            Step::wait(|| async move {
                future.await;
                let outcome = decide(&request, &child, &own);
                delayed(&request, outcome).finish().await
            })
        }
    }
}

fn decide(request: &Rc<Request>, child: &Rc<Request>, own: &AuthRequest) -> Outcome {
    for (index, value) in own.set.iter().flatten() {
        let value = value.to_vec(&**child);
        variable::assign(&**request, *index, &value);
    }
    let status = child.response.borrow().status;
    match status {
        200..=299 => Outcome::Ok,
        403 => Outcome::Status(403),
        401 => {
            let answer = child.response.borrow();
            let mut response = request.response.borrow_mut();
            for value in answer.headers.get_all(b"www-authenticate") {
                response.headers.push(b"WWW-Authenticate", value);
            }
            Outcome::Status(401)
        }
        // `return 444` there closes the client's connection; an upstream's 444 is another matter.
        444 if child.flags.abort.get() => Outcome::Status(444),
        _ => {
            log_request!(request, Level::Error, "auth request unexpected status: {status}");
            Outcome::Status(500)
        }
    }
}
