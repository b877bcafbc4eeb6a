//! Values that are built on the heap.

use std::mem::MaybeUninit;
use std::pin::Pin;

/// What `make` returns, in a block of its own. `Box::pin` would build it on the stack, because its block may turn out not to be there, and then
/// copy all of it; a future that has not begun is mostly room for later.
#[inline(always)]
pub fn pinned<T>(make: impl FnOnce() -> T) -> Pin<Box<T>> {
    let block: Box<MaybeUninit<T>> = Box::new_uninit();
    Box::into_pin(Box::write(block, make()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::rc::Rc;

    #[test]
    fn the_value_is_owned_once() {
        let counted = Rc::new(());
        let boxed = pinned(|| counted.clone());
        assert_eq!(Rc::strong_count(&counted), 2);
        drop(boxed);
        assert_eq!(Rc::strong_count(&counted), 1);
    }
}
