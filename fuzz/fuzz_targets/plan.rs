//! See `libcorten::fuzzing::plan`.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| libcorten::fuzzing::plan(bytes));
