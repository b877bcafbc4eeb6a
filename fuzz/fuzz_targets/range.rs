//! Any bytes through `wire::check::range`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| wire::check::range(data));
