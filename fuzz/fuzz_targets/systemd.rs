//! See `libcorten::fuzzing::systemd`.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| libcorten::fuzzing::systemd(bytes));
