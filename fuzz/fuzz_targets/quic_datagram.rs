//! Any bytes through `wire::quic::check::quic_datagram`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| wire::quic::check::quic_datagram(data));
