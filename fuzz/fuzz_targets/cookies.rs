//! Any name and `Cookie` line through `modules::check::cookies`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| modules::check::cookies(data));
