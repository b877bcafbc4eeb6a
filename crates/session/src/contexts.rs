//! Per-module state of a session, by type.

use std::any::{Any, TypeId};
use std::cell::RefCell;
use std::rc::Rc;

/// A value whose memory serves one session after the other.
pub trait Reusable: Any {
    /// Makes it what `Default` would make.
    fn reset(&mut self);

    /// [`Reuse::reset`] for a value of unknown type.
    fn clear(any: &mut dyn Any)
    where
        Self: Sized,
    {
        if let Some(own) = any.downcast_mut::<Self>() {
            own.reset();
        }
    }
}

/// [`Reuse::clear`] of some type.
type Clear = fn(&mut dyn Any);

struct Context {
    id: TypeId,
    value: Rc<dyn Any>,
    /// How its memory is used again; without, it goes with the session.
    clear: Option<Clear>,
    /// It is the session's. Otherwise it waits to be used again, cleared.
    live: bool,
}

/// A session's module contexts.
#[derive(Default)]
pub struct Contexts(RefCell<Vec<Context>>);

impl Contexts {
    /// The context of type `T`, or one that waits, which then is the session's.
    pub fn find<T: 'static>(&self) -> Option<Rc<T>> {
        let mut contexts = self.0.borrow_mut();
        let found = contexts.iter_mut().find(|context| context.id == TypeId::of::<T>())?;
        found.live = true;
        found.value.clone().downcast::<T>().ok()
    }

    /// The context of type `T`, if the session has one.
    pub fn find_live<T: 'static>(&self) -> Option<Rc<T>> {
        let contexts = self.0.borrow();
        let found = contexts.iter().find(|context| context.id == TypeId::of::<T>() && context.live)?;
        found.value.clone().downcast::<T>().ok()
    }

    /// Adds a context; there must be none of the same type.
    pub fn add<T: 'static>(&self, value: Rc<T>, clear: Option<Clear>) -> Rc<T> {
        self.0.borrow_mut().push(Context { id: TypeId::of::<T>(), value: value.clone(), clear, live: true });
        value
    }

    /// Removes the context of type `T`.
    pub fn remove<T: 'static>(&self) {
        let at = self.0.borrow().iter().position(|context| context.id == TypeId::of::<T>());
        // What goes may look at the session when it goes.
        let old = at.map(|at| self.0.borrow_mut().remove(at));
        drop(old);
    }

    /// Clears all contexts, keeping the memory of those that can be reused and are not referenced elsewhere.
    pub fn clear(&self) {
        if self.0.borrow().is_empty() {
            return;
        }
        let mut all = self.0.take();
        all.retain_mut(|context| {
            if !std::mem::take(&mut context.live) {
                return true;
            }
            match (context.clear, Rc::get_mut(&mut context.value)) {
                (Some(clear), Some(value)) => {
                    clear(value);
                    true
                }
                _ => false,
            }
        });
        let mut contexts = self.0.borrow_mut();
        // What went may have left a context behind.
        if contexts.is_empty() {
            *contexts = all;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Default)]
    struct Counter(u32);

    impl Reusable for Counter {
        fn reset(&mut self) {
            self.0 = 0;
        }
    }

    #[test]
    fn memory_is_used_again_unless_somebody_holds_it() {
        let contexts = Contexts::default();
        let one = contexts.add(Rc::new(Counter(5)), Some(Counter::clear));
        contexts.add(Rc::new(7u8), None);
        let address = Rc::as_ptr(&one);
        drop(one);
        contexts.clear();
        assert!(contexts.find_live::<Counter>().is_none() && contexts.find::<u8>().is_none());
        let again = contexts.find::<Counter>().unwrap_or_default();
        assert_eq!((Rc::as_ptr(&again), again.0), (address, 0));
        assert!(contexts.find_live::<Counter>().is_some());
        contexts.clear();
        assert!(contexts.find::<Counter>().is_none(), "held elsewhere");
    }
}
