//! Any bytes through `conf::check::conf`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| conf::check::conf(data));
