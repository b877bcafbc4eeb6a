//! Shorthands to define HTTP variables.

use crate::request::Request;
use session::variable;
use std::rc::Rc;

/// The variables of requests.
pub type Variables = session::Variables<Request>;
/// A complex value of variables of requests.
pub type Complex = session::Complex<Request>;
/// A regular expression whose groups become variables of requests.
pub type Regex = session::Regex<Request>;
/// A request's values.
pub type Cache = session::Cache<Request>;
/// Gives the value of a request's variable.
pub type Get = variable::Get<Request>;
/// Assigns to a request's variable.
pub type SetValue = variable::SetValue<Request>;
/// A request's variable that was looked up by its name.
pub type Named = variable::by_name::Named<Request>;

/// A getter of a request's variable: appends and returns true, or returns false for "not found".
pub fn getter(f: impl Fn(&Request, &mut Vec<u8>) -> bool + 'static) -> Get {
    Rc::new(f)
}

/// Defines a variable of requests.
pub fn define(variables: &mut Variables, name: &str, flags: u8, f: fn(&Request, &mut Vec<u8>) -> bool) {
    variables.define(name, flags, Rc::new(f));
}

/// Defines a family such as `arg_*`; `f` gets the rest of the name.
pub fn define_family(variables: &mut Variables, prefix: &'static str, flags: u8, f: fn(&Request, &str, &mut Vec<u8>) -> bool) {
    let make = move |name: &str| {
        let name = name.to_owned();
        getter(move |request, out| f(request, &name, out))
    };
    variables.define_family(prefix, flags, Rc::new(make));
}
