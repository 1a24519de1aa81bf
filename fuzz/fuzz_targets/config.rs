//! Any text as `config.json`: it is accepted or refused with a message, and never ends the calling program.

#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &[u8]| {
    let parsed = libcorten::spec::parse(text);
    if let Err(error) = &parsed {
        // An embedder prints the error: the whole chain must be printable, and it must say something.
        assert!(!format!("{error:#}").is_empty());
    }
    // The list of all faults and the verdict must not contradict each other.
    assert_eq!(parsed.is_ok(), libcorten::spec::faults(text).is_empty());
});
