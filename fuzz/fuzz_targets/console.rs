//! See `libcorten::fuzzing::console_message`.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| libcorten::fuzzing::console_message(bytes));
