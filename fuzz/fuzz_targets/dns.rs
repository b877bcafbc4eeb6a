//! Any bytes through `wire::check::dns`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| wire::check::dns(data));
