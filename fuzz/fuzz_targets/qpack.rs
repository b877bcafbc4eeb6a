//! Any bytes through `wire::h3::check::qpack`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| wire::h3::check::qpack(data));
