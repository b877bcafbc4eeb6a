//! `client_body_early_read`: the body is read before the request goes through its phases.

use crate::compile::complex;
use base::log::Level;
use conf::context::{Arity, Context};
use conf::row::Row;
use conf::scope::Config;
use conf::tree::Error;
use http::body::{self, BodyState};
use http::core::default;
use http::output::then;
use http::{Attach, Complex, Levels, Module, Outcome, Phase, Request, Step, log_request};
use std::rc::Rc;

/// The module; it comes before all others of the first phase.
pub const MODULE: Module = Module { rows, levels, attach, ..Module::named("early_body") };

#[derive(Default)]
struct Conf {
    when: Option<Rc<Vec<Complex>>>,
}

impl Config for Conf {
    fn inherit(&mut self, parent: &Self) {
        conf::inherit!(self, parent; when);
    }
}

fn levels(levels: &mut Levels) {
    levels.location::<Conf>();
}

fn rows() -> Vec<Row> {
    let at = Context::HTTP | Context::SERVER;
    vec![Row::new("client_body_early_read", at, Arity::AtLeast(1), "Reads the body before anything else, if a value is true.", |cx| {
        let values = (0..cx.args().len()).map(|i| complex(cx, i)).collect::<Result<Vec<_>, _>>()?;
        cx.once(&mut cx.location::<Conf>().when, Rc::new(values))
    })]
}

fn attach(at: &mut Attach<'_>) -> Result<(), Error> {
    if let (true, Some(when)) = (at.is_server, at.conf::<Conf>().when.clone()) {
        at.phase(Phase::PostRead, move |request| handle(request, &when));
    }
    Ok(())
}

fn handle(request: &Rc<Request>, when: &[Complex]) -> Step {
    let is_true = |value: &Complex| {
        let value = value.to_vec(&**request);
        !value.is_empty() && value != b"0"
    };
    if !request.is_main() || !when.iter().any(is_true) {
        return Step::Now(Outcome::Declined);
    }
    let most = request.with_location(|location| location.core.client_max_body_size.unwrap_or(default::MAX_BODY));
    {
        let body = request.body.borrow();
        if let Some(length) = body.length().filter(|length| most != 0 && *length > most && body.state() != BodyState::Discarded) {
            body.set_state(BodyState::Discarded);
            log_request!(request, Level::Error, "client intended to send too large body: {length} bytes");
            return Step::Now(Outcome::Status(413));
        }
    }
    then(body::read(request), |outcome| match outcome {
        Outcome::Ok => Step::Now(Outcome::Declined),
        other => Step::Now(other),
    })
}
