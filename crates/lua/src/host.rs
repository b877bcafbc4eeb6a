//! What code runs for, and how rows of crates that do not know its type see it.

use std::any::{Any, TypeId};
use std::cell::Cell;
use std::marker::PhantomData;
use std::ptr::NonNull;
use std::rc::Rc;

/// What code runs for: a request, a connection, a timer.
///
/// Rows of its own crate ask for it by its type ([`CallContext::host`](crate::CallContext::host)), rows of libraries by a trait that
/// they define ([`CallContext::host_as`](crate::CallContext::host_as)).
pub trait Host: Any {
    /// Puts itself into `handle` if that is the `Option<Rc<dyn Trait>>` of a trait that it implements.
    fn share(self: Rc<Self>, handle: &mut dyn Any) {
        let _ = handle;
    }

    /// Offers itself as the traits that it implements: `view.offer::<dyn Trait>(self)`.
    fn provide<'a>(&'a self, view: &mut HostView<'a>) {
        let _ = view;
    }
}

impl dyn Host {
    /// Itself by a trait, if it offers that.
    #[inline]
    pub(crate) fn seen_as<T: ?Sized + 'static>(&self) -> Option<&T> {
        let mut found: Option<&T> = None;
        let mut view = HostView { kind: TypeId::of::<T>(), slot: NonNull::from(&mut found).cast(), life: PhantomData };
        self.provide(&mut view);
        found
    }
}

/// A trait that somebody wants to see a host by.
pub struct HostView<'a> {
    kind: TypeId,
    /// An `Option<&'a T>` of the `T` that `kind` names.
    slot: NonNull<()>,
    life: PhantomData<Cell<&'a ()>>,
}

impl<'a> HostView<'a> {
    /// Shows the host, if this is the trait that is asked for.
    #[inline]
    pub fn provide<T: ?Sized + 'static>(&mut self, host: &'a T) {
        if self.kind == TypeId::of::<T>() {
            // SAFETY: `seen_as` made the view with the slot of this very type, which lives longer than the view; nobody else
            // looks at it meanwhile. `'a` cannot change, since it is invariant.
            unsafe { *self.slot.cast::<Option<&'a T>>().as_ptr() = Some(host) };
        }
    }
}
