//! Any bytes through `tls::check::chain`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| tls::check::chain(data));
