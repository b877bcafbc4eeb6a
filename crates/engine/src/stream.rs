//! `stream { }`: its blocks, core directives and servers, and the phases of a session.

pub mod blocks;
mod build;
mod directives;
mod listen;
mod nodes;
mod preread;
mod proxy_protocol;
pub mod run;

pub use blocks::{Finished, rows};

#[cfg(test)]
mod tests;
