//! Any bytes through `wire::check::memcached`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| wire::check::memcached(data));
