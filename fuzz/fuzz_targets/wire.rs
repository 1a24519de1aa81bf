//! Any bytes as what the launcher and the init say to each other: they are decoded or refused, and what was decoded is
//! encoded to the same bytes again.

#![no_main]

use libcorten::wire::{Orders, Reader, Report, Wire};
use libfuzzer_sys::fuzz_target;

fn check<'a, T: Wire<'a>>(bytes: &'a [u8]) {
    let mut reader = Reader::new(bytes);
    let Ok(value) = T::get(&mut reader) else { return };
    let mut encoded: Vec<u8> = Vec::new();
    value.put(&mut encoded);
    assert_eq!(bytes.get(..encoded.len()), Some(encoded.as_slice()));
    // Nothing was taken that is not in the value.
    assert_eq!(reader.is_empty(), encoded.len() == bytes.len());
}

fuzz_target!(|bytes: &[u8]| {
    check::<Orders<'_>>(bytes);
    check::<Report>(bytes);
});
