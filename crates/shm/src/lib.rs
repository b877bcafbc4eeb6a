//! shm
#![forbid(unsafe_code)]
