//! Any words in the memory of a dictionary through `shm::check::image`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| shm::check::image(data));
