//! Any bytes as a cache's file through `cache::check::head`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| cache::check::head(data));
