//! See `libcorten::fuzzing::resources`.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| libcorten::fuzzing::resources(bytes));
