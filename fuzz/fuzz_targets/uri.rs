//! Any bytes through `wire::check::uri`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| wire::check::uri(data));
