//! The dictionaries of this thread by number, so that functions of `ngx.shared` need no lookup by name.

use shm::Dict;
use std::cell::RefCell;

thread_local!(static SHELF: RefCell<Vec<Option<Dict>>> = const { RefCell::new(Vec::new()) });

/// ShelfSlots on the shelf, which are free again when this is dropped.
#[derive(Debug, Default)]
pub(crate) struct SharedSlots(RefCell<Vec<usize>>);

impl SharedSlots {
    /// Puts a dictionary on the shelf: its number.
    pub(crate) fn put(&self, dict: Dict) -> usize {
        let number = SHELF.with_borrow_mut(|shelf| {
            let free = shelf.iter().position(Option::is_none).unwrap_or(shelf.len());
            match shelf.get_mut(free) {
                Some(place) => *place = Some(dict),
                None => shelf.push(Some(dict)),
            }
            free
        });
        self.0.borrow_mut().push(number);
        number
    }
}

impl Drop for SharedSlots {
    fn drop(&mut self) {
        // At the thread's end the shelf may be gone, and with it what stood on it.
        let _ = SHELF.try_with(|shelf| {
            let Ok(mut shelf) = shelf.try_borrow_mut() else { return };
            for number in self.0.get_mut().drain(..) {
                if let Some(place) = shelf.get_mut(number) {
                    *place = None;
                }
            }
        });
    }
}

/// Runs `f` on a dictionary; `None` if there is none of this number.
#[inline]
pub(crate) fn with<R>(number: i32, f: impl FnOnce(&Dict) -> R) -> Option<R> {
    SHELF.with(|shelf| match shelf.try_borrow() {
        Ok(shelf) => shelf.get(number as usize).and_then(Option::as_ref).map(f),
        Err(_) => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use shm::Zone;

    #[test]
    fn a_place_is_free_when_its_owner_goes() {
        let dict = |size| Dict::new(&Zone::new("d", shm::dict::OWNER, size).unwrap());
        let (first, second) = (SharedSlots::default(), SharedSlots::default());
        assert_eq!((first.put(dict(40_000)), second.put(dict(50_000)), first.put(dict(60_000))), (0, 1, 2));
        drop(first);
        assert_eq!([0, 1, 2, -1].map(|number| with(number, Dict::capacity)), [None, Some(50_000), None, None]);
        assert_eq!(second.put(dict(70_000)), 0);
    }
}
