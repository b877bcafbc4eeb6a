//! The `match` blocks of health checks, by name.

use conf::row::Cx;
use conf::scope::Config;
use conf::tree::SettingError;
use conf::tree::{Directive, Error};
use std::rc::Rc;

/// What well servers answer, in the words of one protocol.
pub struct NamedTests<T>(Vec<(Rc<str>, Rc<T>)>);

impl<T> Default for NamedTests<T> {
    fn default() -> Self {
        NamedTests(Vec::new())
    }
}

impl<T: 'static> Config for NamedTests<T> {
    fn inherit(&mut self, _: &Self) {}
}

impl<T: Default + 'static> NamedTests<T> {
    /// Reads a block `match`, each directive in it by `read`.
    ///
    /// # Errors
    /// There is one of the name, or something in it makes no sense.
    pub fn read(cx: &mut Cx<'_>, read: fn(&Cx<'_>, &Directive, &mut T) -> Result<(), SettingError>) -> Result<(), Error> {
        let name: Rc<str> = cx.text(0).into();
        if cx.main::<Self>().0.iter().any(|(known, _)| *known == name) {
            return Err(cx.error_at(0, format!("duplicate match \"{name}\"")));
        }
        let mut made = T::default();
        for directive in cx.directive.body.iter().flat_map(|block| &block.directives) {
            read(cx, directive, &mut made).map_err(|text| Error::new(text, directive.name.span))?;
        }
        cx.main::<Self>().0.push((name, Rc::new(made)));
        Ok(())
    }

    /// The test of this name.
    ///
    /// # Errors
    /// There is none.
    pub fn find(&self, name: &str) -> Result<Rc<T>, SettingError> {
        let found = self.0.iter().find(|(known, _)| **known == *name);
        found.map(|(_, test)| test.clone()).ok_or_else(|| format!("match \"{name}\" not found").into())
    }
}
