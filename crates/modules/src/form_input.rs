//! `set_form_input`, `set_form_input_multi`: fields of forms that are sent in a body (form-input-nginx-module's README).

use crate::compile::{complex, complex_of};
use crate::{array_var, set_misc};
use base::log::Level;
use conf::context::{Arity, Context};
use conf::row::{Cx, Row};
use conf::scope::Config;
use conf::tree::Error;
use http::method::Method;
use http::output::then;
use http::program::{Flow, Program};
use http::{Attach, Levels, Module, Outcome, Phase, Request, Step, body, log_request};
use session::variable;
use std::rc::Rc;

/// Fields of forms.
pub const MODULE: Module = Module { rows, levels: Levels::location_only::<FormConf>, attach, ..Module::named("form_input") };

const FORM: &[u8] = b"application/x-www-form-urlencoded";

/// Whether a block has one of the directives, so that bodies are read before it runs.
#[derive(Default)]
struct FormConf(bool);

impl Config for FormConf {
    fn inherit(&mut self, _: &Self) {}
}

fn rows() -> Vec<Row> {
    let at = Context::SERVER | Context::LOCATION;
    vec![
        Row::new("set_form_input", at, Arity::Between(1, 2), "Assigns a field of a form.", |cx| {
            row(cx, |form, name| fields(form, name).next().unwrap_or_default().to_vec())
        }),
        Row::new("set_form_input_multi", at, Arity::Between(1, 2), "Assigns all fields of a name as a list.", |cx| {
            row(cx, |form, name| array_var::list_of(fields(form, name)))
        }),
    ]
}

/// `set_form_input $variable [NAME]`: without a name, the variable's own.
fn row(cx: &mut Cx<'_>, make: fn(&[u8], &[u8]) -> Vec<u8>) -> Result<(), Error> {
    let target = set_misc::target_of(cx, 0, cx.arg(0))?;
    let name = match cx.args().len() {
        1 => complex_of(cx, 0, cx.arg(0).get(1..).unwrap_or_default())?,
        _ => complex(cx, 1)?,
    };
    cx.location::<FormConf>().0 = true;
    cx.location::<Program>().push(move |request, _| {
        let value = if is_form(request) { with_form(request, |form| make(form, &name.to_vec(&**request))) } else { Vec::new() };
        variable::assign(&**request, target, &value);
        Flow::Next
    });
    Ok(())
}

fn attach(at: &mut Attach<'_>) -> Result<(), Error> {
    if at.conf::<FormConf>().0 {
        at.phase(if at.is_server { Phase::ServerRewrite } else { Phase::Rewrite }, read);
    }
    Ok(())
}

/// Whether the request's body is a form.
fn is_form(request: &Request) -> bool {
    let sends = matches!(request.line.borrow().method, Method::POST | Method::PUT);
    let headers = request.headers.borrow();
    let kind = headers.get(b"content-type").unwrap_or_default();
    sends && kind.get(..FORM.len()).is_some_and(|kind| kind.eq_ignore_ascii_case(FORM))
}

/// Reads the body of a form before the directives run.
fn read(request: &Rc<Request>) -> Step {
    if !is_form(request) {
        return Step::Now(Outcome::Declined);
    }
    then(body::read(request), |outcome| match outcome {
        Outcome::Ok => Step::Now(Outcome::Declined),
        other => Step::Now(other),
    })
}

/// Runs `f` on the form; on nothing, where the body lies in a file.
fn with_form<R>(request: &Request, f: impl FnOnce(&[u8]) -> R) -> R {
    let body = request.body.borrow().clone();
    if body.file().is_some() {
        log_request!(
            request,
            Level::Error,
            "form-input: in-file buffer found. aborted. consider increasing your client_body_buffer_size setting"
        );
        return f(b"");
    }
    body.with_data(f)
}

/// The values of a field as they were sent; its name is compared without regard to case.
fn fields<'a>(form: &'a [u8], name: &'a [u8]) -> impl Iterator<Item = &'a [u8]> {
    form.split(|byte| *byte == b'&').filter_map(move |field| {
        let (found, value) = field.split_at_checked(name.len())?;
        value.strip_prefix(b"=").filter(|_| found.eq_ignore_ascii_case(name))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_by_name() {
        let cases: [(&str, &str, &[&str]); 7] = [
            ("a=1&b=2&A=3", "a", &["1", "3"]),
            ("a=1&ba=2", "a", &["1"]),
            ("a&a=", "a", &[""]),
            ("a=b=c&x", "a", &["b=c"]),
            ("", "a", &[]),
            ("a=%20+", "a", &["%20+"]),
            ("ab=1", "a", &[]),
        ];
        for (form, name, expected) in cases {
            let found: Vec<&[u8]> = fields(form.as_bytes(), name.as_bytes()).collect();
            let expected: Vec<&[u8]> = expected.iter().map(|value| value.as_bytes()).collect();
            assert_eq!(found, expected, "{form}");
        }
    }
}
