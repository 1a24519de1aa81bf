//! See `libcorten::fuzzing::device_rules`.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| libcorten::fuzzing::device_rules(bytes));
