//! See `libcorten::fuzzing::mount_options`.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| libcorten::fuzzing::mount_options(bytes));
