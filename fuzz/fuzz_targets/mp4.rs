//! Any bytes through `wire::check::mp4`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| wire::check::mp4(data));
