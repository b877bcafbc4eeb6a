//! What a report begins with, whatever its format.

use http::metrics::Totals;

/// A process that counts.
pub(super) struct Process {
    pub(super) pid: u32,
    /// Connections that are open.
    pub(super) connections: u64,
    /// Requests so far.
    pub(super) requests: u64,
    /// Memory that is resident, in bytes; the system may not tell.
    pub(super) resident: Option<u64>,
}

/// What can be told at once.
pub(super) struct Overview {
    pub(super) sums: Totals,
    pub(super) processes: Vec<Process>,
    /// Zones and caches, in the report's format.
    pub(super) zones: Vec<u8>,
}
