//! Variables, blocks and settings that the pages of one client's request share.

use http::{Piece, Request};
use session::variable;
use std::cell::RefCell;
use std::rc::Rc;

/// What pages of one client's request share: variables, blocks, and settings.
#[derive(Default)]
pub(super) struct Shared {
    pub(super) variables: RefCell<Vec<(Vec<u8>, Vec<u8>)>>,
    pub(super) blocks: RefCell<Vec<(Vec<u8>, Vec<Piece>)>>,
    pub(super) time_format: RefCell<Option<Vec<u8>>>,
    /// Groups of the last pattern that matched.
    pub(super) captures: RefCell<Vec<Option<Vec<u8>>>>,
}

/// What this request's pages share.
pub(super) fn shared(request: &Request) -> Rc<Shared> {
    let mut main = request;
    while let Some(parent) = &main.parent {
        main = parent;
    }
    main.lasting()
}

/// The value of an SSI variable, a capture, or a variable of the server; `None` if there is none.
pub(super) fn value_of(request: &Request, name: &[u8]) -> Option<Vec<u8>> {
    if let [digit @ b'0'..=b'9'] = name {
        let groups = shared(request).captures.borrow().get(usize::from(digit - b'0')).cloned().flatten();
        if groups.is_some() {
            return groups;
        }
    }
    let name = name.to_ascii_lowercase();
    if let Some((_, value)) = shared(request).variables.borrow().iter().find(|(n, _)| *n == name) {
        return Some(value.clone());
    }
    let mut out = Vec::new();
    variable::get_by_name(request, &String::from_utf8_lossy(&name), &mut out).then_some(out)
}

/// Sets a variable of the pages.
pub(super) fn set_value(request: &Request, name: &[u8], value: Vec<u8>) {
    let name = name.to_ascii_lowercase();
    let shared = shared(request);
    let mut variables = shared.variables.borrow_mut();
    match variables.iter_mut().find(|(n, _)| *n == name) {
        Some((_, old)) => *old = value,
        None => variables.push((name, value)),
    }
}
