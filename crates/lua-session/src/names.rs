//! Variables that Lua code has requested by name: each gets a number, which the code uses from then on.

use foldhash::HashMap;
use session::Session;
use session::variable::{self, Named};
use std::cell::RefCell;

/// Most names that get a number: code may make names without end.
const MOST: usize = 4096;

/// The numbers.
pub struct Names<S> {
    numbers: RefCell<HashMap<Box<str>, usize>>,
    list: RefCell<Vec<Named<S>>>,
}

impl<S> Default for Names<S> {
    fn default() -> Self {
        Names { numbers: RefCell::default(), list: RefCell::default() }
    }
}

impl<S: Session> Names<S> {
    /// The number of the variable called `name` (lower-case), whether there is one or not. None when there are too many.
    pub fn number(&self, session: &S, name: &str) -> Option<usize> {
        if let Some(number) = self.numbers.borrow().get(name) {
            return Some(*number);
        }
        let mut list = self.list.borrow_mut();
        let number = list.len();
        if number >= MOST {
            return None;
        }
        list.push(session.cache().table().look_up(name));
        self.numbers.borrow_mut().insert(name.into(), number);
        Some(number)
    }

    /// Appends the value of the variable with this number. False: not found.
    pub fn get(&self, number: usize, session: &S, out: &mut Vec<u8>) -> bool {
        let named = self.list.borrow().get(number).cloned();
        named.is_some_and(|named| variable::get_named(session, &named, out))
    }
}
