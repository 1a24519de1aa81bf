//! See `libcorten::fuzzing::config`.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| libcorten::fuzzing::config(bytes));
