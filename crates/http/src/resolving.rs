//! How names are resolved while requests run: what `resolver` and `resolver_timeout` leave for all who need it.

pub use resolver::settings::{Resolving, log_trouble};
