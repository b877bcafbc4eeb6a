//! The lease of cache maintenance: one process holds it at a time.

use crate::cells::{Cells, own};
use shm::lease;

impl Cells {
    /// Gives the lease back, if this process has it.
    pub(crate) fn release_lease(&self) {
        lease::release(self.word(0, own::LEASE));
    }

    /// Takes the lease, or keeps it.
    pub(crate) fn lease(&self) -> bool {
        lease::take(self.word(0, own::LEASE))
    }
}
