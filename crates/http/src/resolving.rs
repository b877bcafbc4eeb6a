//! Name resolution at run time: the settings of `resolver` and `resolver_timeout`.

pub use resolver::settings::{Resolving, log_trouble};
