//! Any bytes through `wire::check::client_hello`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| wire::check::client_hello(data));
