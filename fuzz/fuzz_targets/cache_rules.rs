//! Any lines of an answer's head through `cache::check::rules`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| cache::check::rules(data));
