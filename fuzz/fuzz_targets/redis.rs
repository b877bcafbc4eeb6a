//! Any bytes through `wire::check::redis`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| wire::check::redis(data));
