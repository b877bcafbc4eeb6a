//! Any bytes through `wire::h2::client::check::h2_client`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| wire::h2::client::check::h2_client(data));
