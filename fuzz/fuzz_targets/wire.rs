//! See `libcorten::fuzzing::wire`.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| libcorten::fuzzing::wire(bytes));
