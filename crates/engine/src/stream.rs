//! `stream { }`: its blocks and core directives, its servers, and the run of a session through its phases.

pub mod blocks;
mod build;
mod directives;
mod listen;
mod preread;
mod proxy_protocol;
pub mod run;

pub use blocks::{Finished, rows};

#[cfg(test)]
mod tests;
