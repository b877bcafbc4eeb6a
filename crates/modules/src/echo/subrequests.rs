//! Commands that leave the location: subrequests and `echo_exec`.

use super::{Action, Command};
use crate::collector::Collector;
use base::log::Level;
use http::body::{self, Body};
use http::request::{Subrequest, SubrequestBody, SubrequestVariables};
use http::{Jump, Method, Outcome, Request, log_request};
use session::BoxFuture;
use std::rc::Rc;

/// A subrequest that has begun.
pub(super) struct RunningSubrequest {
    /// What it wrote.
    pub(super) wire: Rc<Collector>,
    /// Its rest; none when it is done.
    pub(super) running: Option<BoxFuture<()>>,
}

/// Path and arguments of `text`, unless it is unsafe.
fn split(request: &Request, directive: &str, text: &[u8]) -> Option<(Vec<u8>, Vec<u8>)> {
    let mut decoded = Vec::new();
    let Ok(target) = wire::uri::internal::check(text, &mut decoded) else {
        log_request!(request, Level::Warn, "{directive} sees unsafe uri: \"{}\"", String::from_utf8_lossy(text));
        return None;
    };
    let args = target.args.map(|span| span.of(text).to_vec()).unwrap_or_default();
    Some((target.path(text, &decoded).to_vec(), args))
}

/// Makes the subrequest of a command; `Err` ends the request.
pub(super) fn begin(request: &Rc<Request>, command: &Command) -> Result<RunningSubrequest, Outcome> {
    let mut arguments = command.evaluate(request).into_iter();
    let method = match command.action {
        Action::Subrequest { .. } => arguments.next(),
        _ => None,
    };
    let directive = match command.action {
        Action::Location { wait: true } => "echo_location",
        Action::Location { wait: false } => "echo_location_async",
        Action::Subrequest { wait: true } => "echo_subrequest",
        _ => "echo_subrequest_async",
    };
    let (uri, args) = split(request, directive, &arguments.next().unwrap_or_default()).ok_or(Outcome::Error)?;
    let Options { args: own_args, body } = match method {
        None => Options { args: arguments.next(), body: None },
        Some(_) => options(request, arguments)?,
    };
    let length = body.as_ref().map(|body| body.size().to_string());
    let collector = Collector::collecting();
    let what = Subrequest {
        uri: &uri,
        args: own_args.as_ref().unwrap_or(&args),
        method: method.as_deref().map(|name| (Method::from_name(name), name)),
        wire: collector.clone(),
        body: body.map_or(SubrequestBody::Parents, SubrequestBody::Own),
        variables: SubrequestVariables::Fresh,
    };
    let engine = request.worker.engine().ok_or(Outcome::Error)?;
    let child = engine.subrequest(request, what).map_err(|error| {
        request.log(Level::Error, error.to_string().as_bytes());
        Outcome::Error
    })?;
    if let Some(length) = length {
        child.headers.borrow_mut().set(b"Content-Length", length.as_bytes());
    }
    // As in nginx it runs when the commands have come to their end, or to one that waits.
    let running = async move {
        let running = child.worker.engine().and_then(|engine| engine.run(&child));
        if let Some(running) = running {
            running.await;
        }
    };
    Ok(RunningSubrequest { wire: collector, running: Some(Box::pin(running)) })
}

/// What a command says about its subrequest behind the URI.
#[derive(Default)]
struct Options {
    args: Option<Vec<u8>>,
    body: Option<Body>,
}

/// The options of `echo_subrequest*`, each with its value.
fn options(request: &Request, mut arguments: impl Iterator<Item = Vec<u8>>) -> Result<Options, Outcome> {
    let mut options = Options::default();
    while let Some(option) = arguments.next() {
        let value = arguments.next().unwrap_or_default();
        match &*option {
            b"-q" => options.args = Some(value),
            b"-b" if !value.is_empty() => options.body = Some(Body::from_bytes(value)),
            b"-f" if !value.is_empty() => options.body = Some(open(request, &value)?),
            b"-b" | b"-f" => {}
            _ => {
                let shown = String::from_utf8_lossy(&option);
                request.log(Level::Error, format!("unknown option for echo_subrequest*: {shown}").as_bytes());
                return Err(Outcome::Error);
            }
        }
    }
    Ok(options)
}

fn open(request: &Request, name: &[u8]) -> Result<Body, Outcome> {
    let path = request.http.paths.resolve(name);
    body::from_file(&path, false).map_err(|error| {
        let line = format!("open() \"{}\" failed {}", path.display(), base::errno::describe(&error));
        request.log(Level::Error, line.as_bytes());
        Outcome::Error
    })
}

/// `echo_exec`
pub(super) fn exec(request: &Request, command: &Command) -> Outcome {
    let mut arguments = command.evaluate(request).into_iter();
    let target = arguments.next().unwrap_or_default();
    if target.is_empty() {
        return Outcome::Status(400);
    }
    let Some((uri, mut args)) = split(request, "echo_exec", &target) else { return Outcome::Error };
    if let Some(given) = arguments.next() {
        args = given;
    }
    let Some(name) = uri.strip_prefix(b"@") else { return request.jump(Jump::Internal { uri, args }) };
    if !args.is_empty() {
        let mut line = b"querystring ".to_vec();
        line.extend_from_slice(&args);
        line.extend_from_slice(b" ignored when exec'ing named location ");
        line.extend_from_slice(&uri);
        request.log(Level::Warn, &line);
    }
    request.jump(Jump::Named(name.to_vec()))
}
