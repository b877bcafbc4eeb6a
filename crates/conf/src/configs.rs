//! The finished values of blocks: what a block says itself is its own, everything else is shared with its neighbours.
//!
//! A block that says nothing of a type has what `Default` inherits from its parent. That value is the same for all such
//! children, so it is made once per parent and shared; a location that says one thing costs that one value.

use crate::places::Places;
use crate::scope::{Config, Scope};
use std::any::{Any, TypeId};
use std::cell::OnceCell;
use std::rc::Rc;

/// One value of each type of a level.
#[derive(Default)]
struct Layer {
    values: Box<[Rc<dyn Any>]>,
    /// What a child has that says nothing.
    children: OnceCell<Rc<Layer>>,
}

/// The finished values of one block, shared and immutable.
#[derive(Clone, Default)]
pub struct ConfMap {
    places: Rc<Places>,
    base: Rc<Layer>,
    /// Values that are not the base's, by place.
    own: Vec<(usize, Rc<dyn Any>)>,
    /// A bit for each place in `own`, modulo its width, so that most questions pass it by.
    summary: u64,
    children: OnceCell<Rc<Layer>>,
}

fn bit(place: usize) -> u64 {
    1 << (place % 64)
}

impl ConfMap {
    #[inline]
    fn find(&self, id: TypeId) -> Option<&Rc<dyn Any>> {
        let place = self.places.get(id)?;
        if self.summary & bit(place) != 0
            && let Some((_, value)) = self.own.iter().find(|(at, _)| *at == place)
        {
            return Some(value);
        }
        self.base.values.get(place)
    }

    /// The value of type `T`, if its type was registered for this level.
    #[inline]
    pub fn get<T: 'static>(&self) -> Option<&T> {
        self.find(TypeId::of::<T>()).and_then(|value| value.downcast_ref::<T>())
    }

    /// As [`ConfMap::get`], shared.
    #[inline]
    pub fn share<T: 'static>(&self) -> Option<Rc<T>> {
        self.find(TypeId::of::<T>()).cloned().and_then(|value| value.downcast::<T>().ok())
    }

    /// Stores a value of a type that need not be registered; replaces one of the same type.
    pub fn insert<T: 'static>(&mut self, value: Rc<T>) {
        let id = TypeId::of::<T>();
        let place = self.places.get(id).unwrap_or_else(|| Rc::make_mut(&mut self.places).add(id));
        self.own.retain(|(at, _)| *at != place);
        self.own.push((place, value));
        self.summary |= bit(place);
    }
}

struct Registered {
    /// The value of a block that says nothing below no parent.
    default: fn() -> Rc<dyn Any>,
    /// The value of a block that says nothing below this parent.
    heir: fn(&Rc<dyn Any>) -> Rc<dyn Any>,
    /// Takes the value out of a block, which inherits from its parent.
    finish: fn(&Scope, Option<&Rc<dyn Any>>) -> Rc<dyn Any>,
}

/// The configuration types of one level, in order of registration.
#[derive(Default)]
pub struct Configs {
    types: Vec<Registered>,
    places: Rc<Places>,
}

impl Configs {
    /// Adds a type; a second time changes nothing.
    pub fn register<T: Config>(&mut self) {
        if self.places.get(TypeId::of::<T>()).is_some() {
            return;
        }
        Rc::make_mut(&mut self.places).add(TypeId::of::<T>());
        self.types.push(Registered {
            default: || Rc::new(T::default()),
            heir: |parent| Rc::new(inherited(T::default(), Some(parent))),
            finish: |scope, parent| Rc::new(inherited(scope.take::<T>(), parent)),
        });
    }

    /// Moves the values of an outermost block into their final form.
    pub fn freeze(&self, scope: &Scope) -> ConfMap {
        let mut values: Vec<Rc<dyn Any>> = self.types.iter().map(|kind| (kind.default)()).collect();
        for place in self.own_types(scope) {
            if let (Some(kind), Some(value)) = (self.types.get(place), values.get_mut(place)) {
                *value = (kind.finish)(scope, None);
            }
        }
        let base = Rc::new(Layer { values: values.into(), children: OnceCell::new() });
        ConfMap { places: self.places.clone(), base, ..ConfMap::default() }
    }

    /// Moves the values of a block into their final form; what it does not say comes from `parent`.
    pub fn merge(&self, scope: &Scope, parent: &ConfMap) -> ConfMap {
        let base = parent.children.get_or_init(|| self.children(parent)).clone();
        let mut map = ConfMap { places: self.places.clone(), base, ..ConfMap::default() };
        let types = self.own_types(scope);
        map.own.reserve_exact(types.len());
        for place in types {
            let Some(kind) = self.types.get(place) else { continue };
            map.own.push((place, (kind.finish)(scope, parent.at(place))));
            map.summary |= bit(place);
        }
        map
    }

    /// The places of the types that a block has values of.
    fn own_types(&self, scope: &Scope) -> Vec<usize> {
        scope.types().iter().filter_map(|id| self.places.get(*id)).collect()
    }

    /// What the children of a block have in common.
    fn children(&self, parent: &ConfMap) -> Rc<Layer> {
        let base = parent.base.children.get_or_init(|| Rc::new(self.heirs_of(&parent.base.values)));
        if parent.own.is_empty() {
            return base.clone();
        }
        let mut values = base.values.clone();
        for (place, value) in &parent.own {
            if let (Some(kind), Some(slot)) = (self.types.get(*place), values.get_mut(*place)) {
                *slot = (kind.heir)(value);
            }
        }
        Rc::new(Layer { values, children: OnceCell::new() })
    }

    fn heirs_of(&self, values: &[Rc<dyn Any>]) -> Layer {
        let values = self.types.iter().zip(values).map(|(kind, value)| (kind.heir)(value)).collect();
        Layer { values, children: OnceCell::new() }
    }
}

impl ConfMap {
    /// The value at a place.
    fn at(&self, place: usize) -> Option<&Rc<dyn Any>> {
        let own = self.own.iter().find(|(at, _)| *at == place).map(|(_, value)| value);
        own.or_else(|| self.base.values.get(place))
    }
}

fn inherited<T: Config>(mut value: T, parent: Option<&Rc<dyn Any>>) -> T {
    if let Some(parent) = parent.and_then(|parent| parent.downcast_ref::<T>()) {
        value.inherit(parent);
    }
    value
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::inherit;
    use crate::scope::Frame;

    #[derive(Default, Debug, PartialEq)]
    struct Limits {
        size: Option<u32>,
        time: Option<u32>,
        /// A location's own.
        here: bool,
    }

    impl Config for Limits {
        fn inherit(&mut self, parent: &Self) {
            inherit!(self, parent; size, time);
        }
    }

    fn configs() -> Configs {
        let mut configs = Configs::default();
        configs.register::<Limits>();
        configs.register::<Limits>();
        configs
    }

    #[test]
    fn what_is_not_said_is_inherited() {
        let configs = configs();
        let outer = Frame::default();
        outer.location.get::<Limits>().size = Some(1);
        outer.location.get::<Limits>().time = Some(2);
        let inner = outer.enter_location();
        inner.location.get::<Limits>().time = Some(3);
        let parent = configs.freeze(&outer.location);
        let mut map = configs.merge(&inner.location, &parent);
        assert_eq!(map.get::<Limits>(), Some(&Limits { size: Some(1), time: Some(3), here: false }));
        assert!(map.get::<u32>().is_none());
        map.insert(Rc::new(7_u32));
        map.insert(Rc::new(8_u32));
        assert_eq!((map.get::<u32>(), map.get::<Limits>().and_then(|l| l.time)), (Some(&8), Some(3)));
    }

    #[test]
    fn blocks_that_say_nothing_share_one_value_over_all_depths() {
        let configs = configs();
        let http = Scope::default();
        *http.get() = Limits { size: Some(1), time: None, here: true };
        let http = configs.freeze(&http);
        let says_time = Scope::default();
        says_time.get::<Limits>().time = Some(9);
        let servers = [&Scope::default(), &Scope::default(), &says_time].map(|scope| configs.merge(scope, &http));
        let locations = servers.each_ref().map(|server| configs.merge(&Scope::default(), server));
        let nested = locations.each_ref().map(|outer| configs.merge(&Scope::default(), outer));
        let shared = |maps: &[ConfMap; 3], a: usize, b: usize| Rc::ptr_eq(&maps[a].share::<Limits>().unwrap(), &maps[b].share().unwrap());
        for level in [&servers, &locations, &nested] {
            assert!(shared(level, 0, 1) && !shared(level, 0, 2));
            assert_eq!(level[0].get(), Some(&Limits { size: Some(1), time: None, here: false }));
            assert_eq!(level[2].get(), Some(&Limits { size: Some(1), time: Some(9), here: false }));
        }
    }
}
