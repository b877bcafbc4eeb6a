//! What one request remembers while it tries servers.

/// The servers that a request has tried and the place where it looks next.
#[derive(Clone, Debug, Default)]
pub struct Selection {
    tried: Vec<u64>,
    /// The primary servers are exhausted; the backups are asked now.
    pub(crate) backup: bool,
    /// Tries left, the current one included.
    pub tries: usize,
    /// Hash of the request's key, for policies that use one.
    pub key: Option<Vec<u8>>,
}

impl Selection {
    /// Makes it ready for another request, keeping its memory.
    pub fn reset(&mut self, tries: usize) {
        self.tried.clear();
        self.backup = false;
        self.tries = tries;
        self.key = None;
    }

    pub(crate) fn has_tried(&self, index: usize) -> bool {
        self.tried.get(index / 64).is_some_and(|word| word & (1 << (index % 64)) != 0)
    }

    pub(crate) fn mark(&mut self, index: usize) {
        let word = index / 64;
        if self.tried.len() <= word {
            self.tried.resize(word + 1, 0);
        }
        if let Some(slot) = self.tried.get_mut(word) {
            *slot |= 1 << (index % 64);
        }
    }

    pub(crate) fn enter_backup(&mut self) {
        self.backup = true;
        self.tried.clear();
    }
}
