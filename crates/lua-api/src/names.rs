//! Variables that Lua code has asked for by name: each gets a number, by which the code then asks.

use foldhash::HashMap;
use http::Request;
use http::variables::Named;
use session::{Session, variable};
use std::cell::RefCell;

/// Most names that get a number: code may make names without end.
const MOST: usize = 4096;

/// The numbers.
#[derive(Default)]
pub struct Names {
    numbers: RefCell<HashMap<Box<str>, usize>>,
    list: RefCell<Vec<Named>>,
}

impl Names {
    /// The number of the variable called `name` (lower-case), whether there is one or not. None when there are too many.
    pub fn number(&self, session: &Request, name: &str) -> Option<usize> {
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
    pub fn get(&self, number: usize, session: &Request, out: &mut Vec<u8>) -> bool {
        let named = self.list.borrow().get(number).cloned();
        named.is_some_and(|named| variable::get_named(session, &named, out))
    }
}
