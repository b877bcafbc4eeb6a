//! Variables that Lua code has requested by name: each gets a number, which the code uses from then on.

use foldhash::HashMap;
use session::Session;
use session::variable;
use session::variable::by_name::Named;
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
        named.is_some_and(|named| variable::by_name::get_named(session, &named, out))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use session::variable::{Cache, Variables};
    use std::rc::Rc;

    struct Fake(Cache<Fake>);

    impl Session for Fake {
        fn cache(&self) -> &Cache<Fake> {
            &self.0
        }

        fn variable_cycle(&self, _: &str) {}
    }

    fn session() -> Fake {
        let mut variables = Variables::<Fake>::default();
        let word = |_: &Fake, out: &mut Vec<u8>| {
            out.extend_from_slice(b"value");
            true
        };
        variables.define("word", 0, Rc::new(word));
        variables.define("nothing", 0, Rc::new(|_, _| false));
        variables.finish().unwrap();
        Fake(Cache::new(Rc::new(variables)))
    }

    #[test]
    fn a_name_keeps_its_number() {
        let (session, names) = (session(), Names::default());
        let table = [("word", 0, Some("value")), ("nothing", 1, None), ("missing", 2, None), ("word", 0, Some("value"))];
        for (name, number, value) in table {
            assert_eq!(names.number(&session, name), Some(number), "{name}");
            let mut out = Vec::new();
            let found = names.get(number, &session, &mut out);
            assert_eq!(found.then_some(&*out), value.map(str::as_bytes), "{name}");
        }
        assert!(!names.get(99, &session, &mut Vec::new()));
    }

    #[test]
    fn names_without_end_get_no_numbers() {
        let (session, names) = (session(), Names::default());
        for number in 0..MOST {
            assert_eq!(names.number(&session, &format!("name{number}")), Some(number));
        }
        assert_eq!((names.number(&session, "one_more"), names.number(&session, "name7")), (None, Some(7)));
    }
}
