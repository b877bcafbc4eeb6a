//! Any bytes through `wire::check_h2::h2_session`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| wire::check_h2::h2_session(data));
