//! Any bytes through `wire::check::proxy_protocol`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| wire::check::proxy_protocol(data));
