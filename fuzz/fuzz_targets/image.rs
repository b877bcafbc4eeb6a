//! Any image through `modules::check::image`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| modules::check::image(data));
