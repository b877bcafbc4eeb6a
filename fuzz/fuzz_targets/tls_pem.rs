//! Any bytes through `tls::check::pem`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| tls::check::pem(data));
