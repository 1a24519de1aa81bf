//! See `libcorten::fuzzing::hook_output`.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| libcorten::fuzzing::hook_output(bytes));
