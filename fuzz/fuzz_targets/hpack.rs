//! Any bytes through `wire::check_h2::hpack`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| wire::check_h2::hpack(data));
