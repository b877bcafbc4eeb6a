//! Any bytes through `wire::h2::check::hpack`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| wire::h2::check::hpack(data));
