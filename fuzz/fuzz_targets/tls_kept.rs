//! Any bytes through `tls::check::kept`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| tls::check::kept(data));
