//! Where directives store what they say: one typed value per module, block and level.
//!
//! A block of the configuration is a [`Frame`] of three scopes. A directive in `location` stores into the location
//! scope of the innermost block; the same directive in `http` stores into `http`'s own location scope, from which
//! every location inherits (nginx's main, srv and loc confs).

use std::any::{Any, TypeId};
use std::cell::{RefCell, RefMut};
use std::rc::Rc;

/// What a module remembers of one block.
///
/// Values start from `Default`, directives fill them, and [`Config::inherit`] takes from the enclosing block what was not said.
pub trait Config: Default + 'static {
    /// Takes over from `parent` every setting that this block does not make itself.
    fn inherit(&mut self, parent: &Self);
}

/// Inherits `Option` fields: `inherit!(self, parent; root, index)` takes the parent's where ours is `None`.
#[macro_export]
macro_rules! inherit {
    ($own:expr, $parent:expr; $($field:ident),+ $(,)?) => {
        $( if $own.$field.is_none() { $own.$field.clone_from(&$parent.$field); } )+
    };
}

/// The values of one block at one level, while the configuration is read. Most blocks have a handful, so that a list is
/// smaller than a table and as fast.
#[derive(Default)]
pub struct Scope {
    values: RefCell<Vec<(TypeId, Box<dyn Any>)>>,
}

impl Scope {
    /// The value of type `T`, made from `Default` on first use.
    pub fn get<T: Default + 'static>(&self) -> RefMut<'_, T> {
        RefMut::map(self.values.borrow_mut(), |values| {
            let at = values.iter().position(|(id, _)| *id == TypeId::of::<T>()).unwrap_or(values.len());
            if at == values.len() {
                values.push((TypeId::of::<T>(), Box::new(T::default())));
            }
            match values.get_mut(at).and_then(|(_, value)| value.downcast_mut::<T>()) {
                Some(value) => value,
                None => unreachable!("a value is stored under its own type"),
            }
        })
    }

    /// Whether a value of type `T` was ever asked for.
    pub fn contains<T: 'static>(&self) -> bool {
        self.values.borrow().iter().any(|(id, _)| *id == TypeId::of::<T>())
    }

    /// The types that it has values of.
    pub(crate) fn types(&self) -> Vec<TypeId> {
        self.values.borrow().iter().map(|(id, _)| *id).collect()
    }

    /// Takes the value out, leaving none; `Default` if there was none.
    pub fn take<T: Default + 'static>(&self) -> T {
        let mut values = self.values.borrow_mut();
        let found = values.iter().position(|(id, _)| *id == TypeId::of::<T>());
        found.and_then(|at| values.swap_remove(at).1.downcast::<T>().ok()).map_or_else(T::default, |value| *value)
    }
}

/// The scopes that a directive can reach from where it stands.
#[derive(Clone, Default)]
pub struct Frame {
    /// Of the whole configuration: the variables' table, listeners, zones.
    pub global: Rc<Scope>,
    /// Of `http { }` (or `stream { }`).
    pub main: Rc<Scope>,
    /// Of `server { }`, or the servers' defaults in `http`.
    pub server: Rc<Scope>,
    /// Of `location { }`, or the locations' defaults further out.
    pub location: Rc<Scope>,
}

impl Frame {
    /// A frame for `http { }`: only the global scope is shared.
    pub fn protocol(&self) -> Frame {
        Frame { global: self.global.clone(), ..Frame::default() }
    }

    /// A frame for `server { }`.
    pub fn enter_server(&self) -> Frame {
        Frame { server: Rc::default(), location: Rc::default(), ..self.clone() }
    }

    /// A frame for `location { }` and what behaves like one.
    pub fn enter_location(&self) -> Frame {
        Frame { location: Rc::default(), ..self.clone() }
    }
}
