//! front
#![forbid(unsafe_code)]
