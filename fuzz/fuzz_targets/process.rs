//! See `libcorten::fuzzing::process`.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| libcorten::fuzzing::process(bytes));
