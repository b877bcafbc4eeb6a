//! Any bytes through `wire::h2::check::h2_frame`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| wire::h2::check::h2_frame(data));
