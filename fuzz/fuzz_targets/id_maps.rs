//! See `libcorten::fuzzing::id_maps`.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| libcorten::fuzzing::id_maps(bytes));
