//! Any bytes through `tls::check::ocsp`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| tls::check::ocsp(data));
