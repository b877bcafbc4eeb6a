//! modules
#![forbid(unsafe_code)]
