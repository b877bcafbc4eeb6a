//! Objects by number: lookups need no search, and numbers are not reused.

/// How many bits of a number are its place. The others count, so that an old number finds nothing.
const PLACE: u32 = 22;

/// Numbers are exact as Lua's numbers.
const LARGEST: u64 = 1 << 53;

/// Entries with numbers.
pub struct Table<T> {
    places: Vec<(u64, Option<T>)>,
    free: Vec<usize>,
    count: u64,
}

impl<T> Default for Table<T> {
    fn default() -> Self {
        Table { places: Vec::new(), free: Vec::new(), count: 0 }
    }
}

fn place(id: u64) -> usize {
    (id & ((1 << PLACE) - 1)) as usize
}

impl<T> Table<T> {
    /// Enters something and returns its number, which is never 0.
    pub fn add(&mut self, value: T) -> u64 {
        let at = self.free.pop().unwrap_or(self.places.len());
        // Counting starts again after billions of entries: by then nobody knows the old numbers.
        self.count = if self.count + 1 < LARGEST >> PLACE { self.count + 1 } else { 1 };
        let id = (self.count << PLACE) | at as u64;
        match self.places.get_mut(at) {
            Some(place) => *place = (id, Some(value)),
            None => self.places.push((id, Some(value))),
        }
        id
    }

    /// What has this number.
    #[inline]
    pub fn get(&self, id: u64) -> Option<&T> {
        self.places.get(place(id)).filter(|(found, _)| *found == id)?.1.as_ref()
    }

    /// Takes out what has this number.
    pub fn remove(&mut self, id: u64) -> Option<T> {
        let at = place(id);
        let found = self.places.get_mut(at).filter(|(found, _)| *found == id)?.1.take()?;
        self.free.push(at);
        Some(found)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_is_not_given_again() {
        let mut table = Table::default();
        let (one, two) = (table.add("one"), table.add("two"));
        assert_eq!((table.get(one), table.get(two), table.get(0)), (Some(&"one"), Some(&"two"), None));
        assert_eq!((table.remove(one), table.remove(one)), (Some("one"), None));
        let three = table.add("three");
        assert_eq!(place(three), place(one));
        assert_eq!((table.get(one), table.get(three)), (None, Some(&"three")));
    }
}
