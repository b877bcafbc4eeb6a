//! Where directives store what they say: one typed value per module, block and level.
//!
//! A block of the configuration is a [`Frame`] of three scopes. A directive in `location` stores into the location
//! scope of the innermost block; the same directive in `http` stores into `http`'s own location scope, from which
//! every location inherits (nginx's main, srv and loc confs).

use std::any::{Any, TypeId};
use std::cell::{RefCell, RefMut};
use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};
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

/// A `TypeId` is already a good hash.
#[derive(Default)]
pub struct TypeIdHasher(u64);

impl Hasher for TypeIdHasher {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            self.0 = self.0.rotate_left(8) ^ u64::from(byte);
        }
    }

    fn write_u64(&mut self, value: u64) {
        self.0 ^= value;
    }
}

type TypeMap<V> = HashMap<TypeId, V, BuildHasherDefault<TypeIdHasher>>;

/// The values of one block at one level, while the configuration is read.
#[derive(Default)]
pub struct Scope {
    values: RefCell<TypeMap<Box<dyn Any>>>,
}

impl Scope {
    /// The value of type `T`, made from `Default` on first use.
    pub fn get<T: Default + 'static>(&self) -> RefMut<'_, T> {
        RefMut::map(self.values.borrow_mut(), |values| {
            let value = values.entry(TypeId::of::<T>()).or_insert_with(|| Box::new(T::default()));
            match value.downcast_mut::<T>() {
                Some(value) => value,
                None => unreachable!("a value is stored under its own type"),
            }
        })
    }

    /// Whether a value of type `T` was ever asked for.
    pub fn has<T: 'static>(&self) -> bool {
        self.values.borrow().contains_key(&TypeId::of::<T>())
    }

    /// Takes the value out, leaving none; `Default` if there was none.
    pub fn take<T: Default + 'static>(&self) -> T {
        let value = self.values.borrow_mut().remove(&TypeId::of::<T>());
        value.and_then(|v| v.downcast::<T>().ok()).map_or_else(T::default, |v| *v)
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

/// The finished values of one block, shared and immutable.
#[derive(Clone, Default)]
pub struct ConfMap {
    values: TypeMap<Rc<dyn Any>>,
}

impl ConfMap {
    /// The value of type `T`, if its type was registered for this level.
    #[inline]
    pub fn get<T: 'static>(&self) -> Option<&T> {
        self.values.get(&TypeId::of::<T>()).and_then(|v| v.downcast_ref::<T>())
    }

    /// As [`ConfMap::get`], shared.
    pub fn share<T: 'static>(&self) -> Option<Rc<T>> {
        self.values.get(&TypeId::of::<T>()).cloned().and_then(|v| v.downcast::<T>().ok())
    }

    /// Stores a value; replaces one of the same type.
    pub fn insert<T: 'static>(&mut self, value: Rc<T>) {
        self.values.insert(TypeId::of::<T>(), value);
    }
}

struct Registered {
    inherit: fn(&Scope, &Scope),
    freeze: fn(&Scope, &mut ConfMap),
}

/// The configuration types of one level, in order of registration.
#[derive(Default)]
pub struct Configs {
    types: Vec<(TypeId, Registered)>,
}

impl Configs {
    /// Adds a type; a second time changes nothing.
    pub fn register<T: Config>(&mut self) {
        if self.types.iter().any(|(id, _)| *id == TypeId::of::<T>()) {
            return;
        }
        let inherit = |child: &Scope, parent: &Scope| {
            let parent = parent.get::<T>();
            child.get::<T>().inherit(&parent);
        };
        let freeze = |scope: &Scope, map: &mut ConfMap| map.insert(Rc::new(scope.take::<T>()));
        self.types.push((TypeId::of::<T>(), Registered { inherit, freeze }));
    }

    /// Lets every value of `child` inherit from `parent`.
    pub fn inherit(&self, child: &Scope, parent: &Scope) {
        for (_, registered) in &self.types {
            (registered.inherit)(child, parent);
        }
    }

    /// Moves the values of `scope` into their final form. Children must have inherited before.
    pub fn freeze(&self, scope: &Scope) -> ConfMap {
        let mut map = ConfMap::default();
        for (_, registered) in &self.types {
            (registered.freeze)(scope, &mut map);
        }
        map
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Default, Debug, PartialEq)]
    struct Limits {
        size: Option<u32>,
        time: Option<u32>,
    }

    impl Config for Limits {
        fn inherit(&mut self, parent: &Self) {
            inherit!(self, parent; size, time);
        }
    }

    #[test]
    fn what_is_not_said_is_inherited() {
        let mut configs = Configs::default();
        configs.register::<Limits>();
        configs.register::<Limits>();
        let outer = Frame::default();
        outer.location.get::<Limits>().size = Some(1);
        outer.location.get::<Limits>().time = Some(2);
        let inner = outer.enter_location();
        inner.location.get::<Limits>().time = Some(3);
        configs.inherit(&inner.location, &outer.location);
        let map = configs.freeze(&inner.location);
        assert_eq!(map.get::<Limits>(), Some(&Limits { size: Some(1), time: Some(3) }));
        assert!(map.get::<u32>().is_none());
    }
}
