//! Fields before they are encoded.

/// Names and values in one buffer, which serves many heads.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct FieldList {
    bytes: Vec<u8>,
    /// Where names and values end.
    ends: Vec<(usize, usize)>,
}

impl Clone for FieldList {
    fn clone(&self) -> Self {
        Self { bytes: self.bytes.clone(), ends: self.ends.clone() }
    }

    fn clone_from(&mut self, other: &Self) {
        self.bytes.clone_from(&other.bytes);
        self.ends.clone_from(&other.ends);
    }
}

impl FieldList {
    /// Forgets all fields.
    pub fn clear(&mut self) {
        self.bytes.clear();
        self.ends.clear();
    }

    /// Adds a field: `name` and `value` append what they are. A name has to be in lower case.
    pub fn push_with(&mut self, name: impl FnOnce(&mut Vec<u8>), value: impl FnOnce(&mut Vec<u8>)) {
        name(&mut self.bytes);
        let middle = self.bytes.len();
        value(&mut self.bytes);
        self.ends.push((middle, self.bytes.len()));
    }

    /// The fields, in order.
    pub fn iter(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        let mut start = 0;
        self.ends.iter().map(move |&(middle, end)| {
            let name = self.bytes.get(start..middle).unwrap_or_default();
            start = end;
            (name, self.bytes.get(middle..end).unwrap_or_default())
        })
    }

    /// Bytes of all names and values.
    #[must_use]
    pub fn size(&self) -> usize {
        self.bytes.len()
    }

    /// How many bytes of memory it holds.
    #[must_use]
    pub fn memory(&self) -> usize {
        self.bytes.capacity() + self.ends.capacity() * size_of::<(usize, usize)>()
    }
}
