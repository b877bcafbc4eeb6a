//! A session that has nothing but variables, for tests.

use crate::variable::{Cache, Session};

pub(crate) struct Fake(pub(crate) Cache<Fake>);

impl Session for Fake {
    fn cache(&self) -> &Cache<Fake> {
        &self.0
    }

    fn variable_cycle(&self, _: &str) {}
}
