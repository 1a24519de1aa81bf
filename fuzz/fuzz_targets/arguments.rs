//! See `corten_cli::fuzzing::arguments`.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| corten_cli::fuzzing::arguments(bytes));
