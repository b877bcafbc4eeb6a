//! The directives, one file each. Their places among other modules: `preread` last in its phase, `log` before all other log handlers.

pub mod balancer;
pub mod content;
pub mod log;
pub mod preread;
pub mod settings;
pub mod ssl;
pub mod start;
pub mod upstream_ssl;
pub mod variable;
