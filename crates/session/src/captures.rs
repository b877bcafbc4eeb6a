//! The captures of a session's last regular expression match.

/// The groups of the last successful match of a session: `$0` to `$N`.
#[derive(Debug, Default)]
pub struct Captures {
    pub(crate) subject: Vec<u8>,
    pub(crate) groups: Vec<Option<(usize, usize)>>,
}

impl Captures {
    /// The text of group `n`; `None` if there is no such group or it took no part.
    pub fn get(&self, n: usize) -> Option<&[u8]> {
        let (start, end) = (*self.groups.get(n)?)?;
        self.subject.get(start..end)
    }

    /// Number of groups, the whole match included; 0 when nothing matched.
    pub fn count(&self) -> usize {
        self.groups.len()
    }

    /// Forgets the match, as nginx does when a later expression fails.
    pub fn clear(&mut self) {
        self.groups.clear();
    }
}
