//! The grammar of `nginx.conf` (text to tree, with nginx's own error messages), and the rows and scopes of directives.
//!
//! The grammar knows no directive but `include` and the `*_by_lua_block` family, whose bodies are
//! not nginx syntax. What a directive means, and where it may stand, is decided by the rows of
//! the modules.
#![forbid(unsafe_code)]
#![cfg_attr(not(test), warn(clippy::cast_possible_truncation))]

#[cfg(any(test, feature = "check"))]
pub mod check;
pub mod configs;
pub mod context;
pub mod diagnostic;
pub mod dump;
pub mod include;
pub mod lexer;
pub(crate) mod lua_block;
pub mod parser;
mod places;
pub mod row;
pub mod scope;
pub mod suggest;
pub mod switch;
pub mod tree;

#[cfg(test)]
mod smoke;
