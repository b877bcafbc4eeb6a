//! Any bytes through `tls::check::session`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| tls::check::session(data));
