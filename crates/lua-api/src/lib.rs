//! lua-api
#![forbid(unsafe_code)]
