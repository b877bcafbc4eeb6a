//! Any bytes through `wire::check::json`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| wire::check::json(data));
