//! Runs requests: builds the tree of servers and locations, searches it, drives the phases, makes error pages.
#![forbid(unsafe_code)]
#![cfg_attr(not(test), warn(clippy::cast_possible_truncation))]

pub mod build;
mod conflicts;
pub mod directives;
pub mod error_page;
pub mod find;
pub mod listen;
pub mod nodes;
mod post_action;
pub mod run;
mod stage;
pub mod stream;
#[cfg(test)]
mod tests;
pub mod tree;

pub use run::HttpEngine;
