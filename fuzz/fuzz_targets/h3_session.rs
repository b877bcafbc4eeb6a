//! Any bytes through `wire::h3::check::h3_session`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| wire::h3::check::h3_session(data));
