//! Any bytes through `tls::check::ticket`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| tls::check::ticket(data));
