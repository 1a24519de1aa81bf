//! See `libcorten::fuzzing::seccomp`.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| libcorten::fuzzing::seccomp(bytes));
