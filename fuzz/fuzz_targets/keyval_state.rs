//! Any file of a `keyval_zone` through `modules::check::keyval_state`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| modules::check::keyval_state(data));
