//! `xss_get` and its companions: wraps JSON in a function call named by the request (JSONP), as in xss-nginx-module.

use crate::filtering::{Types, admits_or, want_memory};
use crate::marks;
use base::log::Level;
use bytes::Bytes;
use conf::context::{Arity, Context};
use conf::row::{self, Row};
use conf::scope::Config;
use http::location::Filtered;
use http::{Attach, Chain, Levels, Method, Module, Outcome, Piece, Request, Step, log_request};
use std::cell::Cell;
use std::rc::Rc;
use wire::uri::args;
use wire::uri::escape::{Unescape, unescape};

/// The module; it comes before all filters of nginx's own modules.
pub const MODULE: Module = Module { rows, levels, attach, ..Module::named("xss") };

/// `xss_output_type` where there is none.
const OUTPUT_TYPE: &[u8] = b"application/x-javascript";

#[derive(Default)]
struct Conf {
    get: Option<bool>,
    callback_arg: Option<Box<[u8]>>,
    input_types: Option<Types>,
    check_status: Option<bool>,
    override_status: Option<bool>,
    output_type: Option<Box<[u8]>>,
}

impl Config for Conf {
    fn inherit(&mut self, parent: &Self) {
        conf::inherit!(self, parent; get, callback_arg, input_types, check_status, override_status, output_type);
    }
}

fn levels(levels: &mut Levels) {
    levels.location::<Conf>();
}

fn rows() -> Vec<Row> {
    let at = Context::HTTP_IF;
    vec![
        row::flag::<Conf>("xss_get", at, "Makes responses to GET calls of a function that the request names.", |c| &mut c.get),
        Row::new("xss_callback_arg", at, Arity::exactly(1), "The argument of the request that names the function.", |cx| {
            cx.once(&mut cx.location::<Conf>().callback_arg, cx.arg(0).into())
        }),
        Row::new("xss_input_types", at, Arity::AtLeast(1), "Types of responses that become calls.", |cx| {
            Types::add_to(&mut cx.location::<Conf>().input_types, &["application/json"], cx);
            Ok(())
        }),
        row::flag::<Conf>("xss_check_status", at, "Only responses with status 200 and 201 become calls.", |c| &mut c.check_status),
        row::flag::<Conf>("xss_override_status", at, "A call has status 200, so that browsers run it.", |c| &mut c.override_status),
        Row::new("xss_output_type", at, Arity::AtLeast(1), "The type of a response that became a call.", |cx| {
            cx.once(&mut cx.location::<Conf>().output_type, cx.arg(0).into())
        }),
    ]
}

/// A body that becomes a call.
struct Call {
    function: Cell<Option<Bytes>>,
}

fn attach(at: &mut Attach<'_>) -> Result<(), conf::tree::Error> {
    let conf = at.conf::<Conf>();
    if conf.get == Some(true) {
        at.header_filter(move |request| header_filter(request, &conf));
        at.body_filter_on_demand(marks::XSS, |request, chain| Filtered::Now(Ok(body_filter(request, chain))));
    }
    Ok(())
}

fn header_filter(request: &Rc<Request>, conf: &Conf) -> Step {
    if let Some(function) = function(request, conf) {
        let mut response = request.response.borrow_mut();
        response.set_content_type(conf.output_type.as_deref().unwrap_or(OUTPUT_TYPE));
        response.clear_body_facts();
        if conf.override_status != Some(false) && response.status >= 300 {
            response.status = 200;
        }
        drop(response);
        want_memory(request);
        request.set_context(Rc::new(Call { function: Cell::new(Some(function.into())) }));
        request.demand_body_filter(marks::XSS);
    }
    Step::Now(Outcome::Ok)
}

/// The function that this response calls, if it does.
fn function(request: &Request, conf: &Conf) -> Option<Vec<u8>> {
    if !request.is_main() || request.method() != Method::GET {
        return None;
    }
    {
        let response = request.response.borrow();
        if conf.check_status != Some(false) && !matches!(response.status, 0 | 200 | 201) {
            return None;
        }
    }
    let Some(name) = conf.callback_arg.as_deref().filter(|name| !name.is_empty()) else {
        log_request!(request, Level::Error, "xss: xss_get is enabled but no xss_callback_arg specified");
        return None;
    };
    {
        let response = request.response.borrow();
        if !admits_or(conf.input_types.as_ref(), &["application/json"], &response) {
            return None;
        }
    }
    let mut function = Vec::new();
    unescape(args::find(&request.line.borrow().args, name)?, Unescape::Plain, &mut function);
    if !is_callable(&function) {
        log_request!(request, Level::Error, "xss: bad callback argument: \"{}\"", String::from_utf8_lossy(&function));
        return None;
    }
    Some(function)
}

/// Names with dots between them, and at most one place in a list behind: anything else could be code.
fn is_callable(text: &[u8]) -> bool {
    let (names, index) = match text.strip_suffix(b"]") {
        Some(inner) => match memchr::memchr(b'[', inner).and_then(|at| inner.split_at_checked(at)) {
            Some((names, index)) => (names, index.get(1..)),
            None => return false,
        },
        None => (text, None),
    };
    let is_name = |name: &[u8]| {
        let starts = name.first().is_some_and(|byte| byte.is_ascii_alphabetic() || matches!(byte, b'$' | b'_'));
        starts && name.iter().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'$' | b'_'))
    };
    let is_number = |index: &[u8]| {
        let digits = match index.split(|byte| *byte == b'.').collect::<Vec<_>>()[..] {
            [whole] => whole,
            [whole, fraction] if whole.iter().all(u8::is_ascii_digit) => fraction,
            _ => return false,
        };
        !digits.is_empty() && digits.iter().all(u8::is_ascii_digit)
    };
    names.split(|byte| *byte == b'.').all(is_name) && index.is_none_or(is_number)
}

fn body_filter(request: &Rc<Request>, mut chain: Chain) -> Chain {
    let Some(call) = request.find_context::<Call>().filter(|_| !request.flags.header_only.get()) else { return chain };
    if let Some(function) = call.function.take() {
        chain.pieces.insert(0, Piece::Bytes([&*function, b"("].concat().into()));
    }
    if chain.last {
        chain.pieces.push(Piece::Bytes(Bytes::from_static(b");")));
    }
    chain
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_may_be_called() {
        for text in ["f", "$", "_a1", "a.b.$c", "a[0]", "a.b[12]", "a[.5]", "a[1.5]", "OpenResty.callback"] {
            assert!(is_callable(text.as_bytes()), "{text}");
        }
        for text in [
            "", "1a", "a.", ".a", "a..b", "a b", "alert(1)", "a[b]", "a[]", "a[1.]", "a[1.2.3]", "a[0][1]", "a[0].b", "a]", "[0]", "a;b",
            "é",
        ] {
            assert!(!is_callable(text.as_bytes()), "{text}");
        }
    }
}
