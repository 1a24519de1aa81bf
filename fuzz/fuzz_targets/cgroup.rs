//! See `libcorten::fuzzing::cgroup`.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| libcorten::fuzzing::cgroup(bytes));
