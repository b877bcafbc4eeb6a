//! Any bytes through `wire::check_h2::h2_frame`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| wire::check_h2::h2_frame(data));
