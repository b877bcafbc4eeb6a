//! Any bytes through `tls::check::handshake`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| tls::check::handshake(data));
