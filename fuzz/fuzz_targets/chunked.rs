//! Any bytes through `wire::check::chunked`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| wire::check::chunked(data));
