//! Configuration: grammar, rows, and the typed values that directives store.
#![forbid(unsafe_code)]

pub mod context;
pub mod row;
pub mod scope;
pub mod suggest;
pub mod tree;
