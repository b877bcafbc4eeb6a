//! Any bytes through `wire::check::h1_response`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| wire::check::h1_response(data));
