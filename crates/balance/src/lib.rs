//! balance
#![forbid(unsafe_code)]
