//! Any bytes through `wire::check::fastcgi`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| wire::check::fastcgi(data));
