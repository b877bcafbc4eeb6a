//! Any bytes through `wire::check::cgi_head`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| wire::check::cgi_head(data));
