//! What modules keep with a request, and what they have to do at its end.

use super::Request;
use session::contexts::Reusable;
use std::rc::Rc;

impl Request {
    /// The module context of type `T`, made from `Default` on first use; cleared by internal redirects.
    pub fn context<T: Default + 'static>(&self) -> Rc<T> {
        self.contexts.find().unwrap_or_else(|| self.contexts.add(Rc::new(T::default()), None))
    }

    /// As [`Request::context`] for a type whose memory serves the next request too.
    pub fn context_reused<T: Default + Reusable>(&self) -> Rc<T> {
        self.contexts.find().unwrap_or_else(|| self.contexts.add(Rc::new(T::default()), Some(T::clear)))
    }

    /// The module context of type `T`, if there is one.
    pub fn find_context<T: 'static>(&self) -> Option<Rc<T>> {
        self.contexts.find_live()
    }

    /// Stores a module context, replacing one of the same type.
    pub fn set_context<T: 'static>(&self, value: Rc<T>) {
        self.contexts.remove::<T>();
        self.contexts.add(value, None);
    }

    /// Removes the module context of type `T`.
    pub fn remove_context<T: 'static>(&self) {
        self.contexts.remove::<T>();
    }

    /// As [`Request::context`], but internal redirects do not clear it.
    pub fn client_context<T: Default + 'static>(&self) -> Rc<T> {
        let found = self.lasting.borrow().iter().find_map(|any| any.clone().downcast::<T>().ok());
        found.unwrap_or_else(|| {
            let made = Rc::new(T::default());
            self.lasting.borrow_mut().push(made.clone());
            made
        })
    }

    /// What [`Request::set_lasting`] or [`Request::client_context`] left, if anything.
    pub fn find_lasting<T: 'static>(&self) -> Option<Rc<T>> {
        self.lasting.borrow().iter().find_map(|any| any.clone().downcast::<T>().ok())
    }

    /// Stores a value that internal redirects do not clear, replacing one of the same type.
    pub fn set_lasting<T: 'static>(&self, value: Rc<T>) {
        let mut lasting = self.lasting.borrow_mut();
        lasting.retain(|any| !any.is::<T>());
        lasting.push(value);
    }

    /// Forgets all module contexts (internal redirect).
    pub fn clear_contexts(&self) {
        self.contexts.clear();
    }

    /// Registers what must happen when the request ends, in reverse order of registration.
    pub fn on_end(&self, f: impl FnOnce(&Rc<Request>) + 'static) {
        self.cleanups.borrow_mut().push(Box::new(f));
    }

    /// Runs and forgets what [`Request::on_end`] registered.
    pub fn run_cleanups(self: &Rc<Request>) {
        loop {
            let Some(f) = self.cleanups.borrow_mut().pop() else { return };
            f(self);
        }
    }
}
