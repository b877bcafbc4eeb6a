//! HTTP modules: one feature, one file.
#![forbid(unsafe_code)]

// mod1
pub mod auth_basic;
pub mod rewrite;
pub mod variables;

// mod2
pub mod content_type;
