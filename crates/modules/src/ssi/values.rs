//! Variables and blocks shared by the pages of one client request.

use http::Request;
use session::variable;
use std::cell::RefCell;
use std::rc::Rc;

/// What pages of one client's request share: variables and blocks.
#[derive(Default)]
pub(super) struct Shared {
    pub(super) variables: RefCell<Vec<(Vec<u8>, Vec<u8>)>>,
    pub(super) blocks: RefCell<Vec<(Vec<u8>, Vec<u8>)>>,
    /// Groups of the last pattern that matched.
    pub(super) captures: RefCell<Vec<Option<Vec<u8>>>>,
}

/// What this request's pages share.
pub(super) fn shared(request: &Request) -> Rc<Shared> {
    let mut main = request;
    while let Some(parent) = &main.parent {
        main = parent;
    }
    main.client_context()
}

/// Appends the value of an SSI variable, a capture, or a variable of the server; false if there is none.
pub(super) fn append_value(request: &Request, name: &[u8], out: &mut Vec<u8>) -> bool {
    let shared = shared(request);
    if let [digit @ b'0'..=b'9'] = name
        && let Some(Some(group)) = shared.captures.borrow().get(usize::from(digit - b'0'))
    {
        out.extend_from_slice(group);
        return true;
    }
    if let Some((_, value)) = shared.variables.borrow().iter().find(|(n, _)| n.eq_ignore_ascii_case(name)) {
        out.extend_from_slice(value);
        return true;
    }
    match std::str::from_utf8(name) {
        Ok(name) if !name.bytes().any(|b| b.is_ascii_uppercase()) => variable::by_name::get_by_name(request, name, out),
        _ => variable::by_name::get_by_name(request, &String::from_utf8_lossy(name).to_ascii_lowercase(), out),
    }
}

/// Sets a variable of the pages.
pub(super) fn set_value(request: &Request, name: &[u8], value: Vec<u8>) {
    let shared = shared(request);
    let mut variables = shared.variables.borrow_mut();
    match variables.iter_mut().find(|(n, _)| n.eq_ignore_ascii_case(name)) {
        Some((_, old)) => *old = value,
        None => variables.push((name.to_vec(), value)),
    }
}
