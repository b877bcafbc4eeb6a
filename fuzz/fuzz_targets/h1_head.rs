//! Any bytes through `wire::check::h1_head`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| wire::check::h1_head(data));
