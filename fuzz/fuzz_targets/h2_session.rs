//! Any bytes through `wire::h2::check::h2_session`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| wire::h2::check::h2_session(data));
