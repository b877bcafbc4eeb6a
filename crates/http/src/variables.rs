//! Shorthands to define HTTP variables.

use crate::request::Request;
use session::Variables;
use session::variable::Get;
use std::rc::Rc;

/// A getter of a request's variable: appends and answers true, or answers false for "not found".
pub fn getter(f: impl Fn(&Request, &mut Vec<u8>) -> bool + 'static) -> Get {
    Rc::new(move |session, out| Request::of(session).is_some_and(|request| f(request, out)))
}

/// Defines a variable of requests.
pub fn define(variables: &mut Variables, name: &str, flags: u8, f: fn(&Request, &mut Vec<u8>) -> bool) {
    variables.define(name, flags, getter(f));
}

/// Defines a family such as `arg_*`; `f` gets the rest of the name.
pub fn define_family(variables: &mut Variables, prefix: &'static str, flags: u8, f: fn(&Request, &str, &mut Vec<u8>) -> bool) {
    let make = move |name: &str| {
        let name = name.to_owned();
        getter(move |request, out| f(request, &name, out))
    };
    variables.define_family(prefix, flags, Rc::new(make));
}
