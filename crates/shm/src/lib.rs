//! Zones: named memory that all workers share and that outlives each of them.
//!
//! The master maps a [`zone::Zone`] before it forks. In it everything is an offset, checked at each access, so a
//! zone that a dying worker left half-written can give wrong answers but never leads outside of itself; and such a
//! zone, or the part of it that has a lock of its own, is emptied by the next one who locks it.
#![forbid(unsafe_code)]
#![cfg_attr(not(test), warn(clippy::cast_possible_truncation))]

#[cfg(any(test, feature = "check"))]
pub mod check;
pub mod dict;
pub mod lease;
pub mod lock;
pub mod meter;
pub mod records;
pub mod registry;
pub mod table;
pub mod tally;
mod word;
pub mod zone;
mod zone_file;

pub use dict::Dict;
pub use meter::{Meter, Meters};
pub use records::Records;
pub use registry::{ClaimError, RecoveryReport, Zones};
pub use table::{Record, Table};
pub use tally::{Account, Tally};
pub use zone::{Guard, Zone};
