//! Lua in `stream`.
#![forbid(unsafe_code)]
