//! Files on disk as responses: opening them safely, keeping hot ones, sending them.

pub mod cache;
pub mod lru;
pub mod open;
pub mod serve;

pub use cache::{Content, Opened, open};
pub use open::{Identity, Kind};
