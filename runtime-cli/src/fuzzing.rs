//! What must hold for any command line; see `fuzzing.rs` of the library.

#![allow(missing_docs, clippy::unwrap_used, clippy::panic)]

use crate::args::{self, Invocation};
use crate::commands::{self, Context};
use crate::failure::Failure;
use crate::log::{Log, LogOptions};
use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;

/// A refusal says why, and the usage begins with the reason.
fn refused(failure: &Failure) {
    assert!(!failure.message().is_empty());
    let begin = format!("Incorrect Usage: {}\n\nNAME:\n   corten", failure.message());
    assert!(failure.usage().is_none_or(|usage| usage.starts_with(&begin)), "{:?}", failure.usage());
}

/// The words of a command line, a NUL between each two as in `/proc/PID/cmdline`: help, a refusal, or a verb with as many
/// operands as it takes, whose options mean something or are refused. Everything up to the first look at the machine.
pub fn arguments(bytes: &[u8]) {
    let words: Vec<OsString> = bytes.split(|byte| *byte == 0).map(|word| OsString::from_vec(word.to_vec())).collect();
    let split = args::split(&words);
    let parts = split.globals.iter().map(OsString::as_os_str).chain(split.verb);
    assert!(parts.chain(split.rest.iter().map(OsString::as_os_str)).eq(&words), "{split:?}");
    args::log_options_in(split.globals);
    let globals = match args::globals(&split) {
        Ok(globals) => globals,
        Err(failure) => return refused(&failure),
    };
    assert!(globals.root.is_absolute());
    match args::invocation(&split, &globals) {
        Err(failure) => refused(&failure),
        Ok(Invocation::Print(text)) => {
            assert!(text.starts_with("NAME:\n   corten ") || text.starts_with("corten version "), "{text}");
        }
        Ok(Invocation::Verb { verb, matches }) => {
            let operands = matches.get_many::<String>("operands").map_or(0, |operands| operands.len());
            assert!(verb.count.contains(&operands) || matches.get_flag("help"), "{}: {operands}", verb.name);
            let silent = LogOptions { file: Some("/dev/null".into()), ..LogOptions::default() };
            let log = Log::open(&silent).unwrap();
            let context = Context { globals: &globals, log: &log, matches };
            if let Err(failure) = commands::meaning(verb, &context) {
                refused(&failure);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::{Path, PathBuf};

    fn seeds() -> Vec<(PathBuf, Vec<u8>)> {
        let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/corpus/arguments");
        let paths = std::fs::read_dir(corpus).unwrap().map(|entry| entry.unwrap().path());
        let mut seeds: Vec<_> = paths.map(|path| (path.clone(), std::fs::read(&path).unwrap())).collect();
        assert!(!seeds.is_empty());
        seeds.sort();
        seeds
    }

    fn breaks(bytes: &[u8]) -> bool {
        std::panic::catch_unwind(|| arguments(bytes)).is_err()
    }

    #[test]
    fn the_corpus_breaks_nothing() {
        let broken: Vec<_> = seeds().into_iter().filter(|(_, seed)| breaks(seed)).map(|(path, _)| path).collect();
        assert!(broken.is_empty(), "{broken:?}");
    }

    /// What a fuzzer does first, for those who have none: words of all seeds in other places, and other bytes in them. `CASES`
    /// asks for more.
    #[test]
    fn seeds_that_are_mixed_break_nothing() {
        let seeds: Vec<Vec<u8>> = seeds().into_iter().map(|(_, seed)| seed).collect();
        let words: Vec<&[u8]> = seeds.iter().flat_map(|seed| seed.split(|byte| *byte == 0)).collect();
        let cases: u64 = std::env::var("CASES").ok().and_then(|cases| cases.parse().ok()).unwrap_or(2000);
        for case in 1..=cases {
            let mut state = case.wrapping_mul(0x9e37_79b9_7f4a_7c15);
            let mut below = |limit: usize| {
                // xorshift64
                state ^= state << 13;
                state ^= state >> 7;
                state ^= state << 17;
                (state >> 16) as usize % limit.max(1)
            };
            let seed = seeds.get(below(seeds.len())).unwrap();
            let mut line: Vec<Vec<u8>> = seed.split(|byte| *byte == 0).map(<[u8]>::to_vec).collect();
            for _ in 0..=below(4) {
                let place = below(line.len());
                let word = words.get(below(words.len())).unwrap().to_vec();
                match below(4) {
                    0 => line.insert(place, word),
                    1 => drop(line.splice(place..(place + 1).min(line.len()), [word])),
                    2 => drop(line.drain(place..(place + 1).min(line.len()))),
                    _ => {
                        let Some(word) = line.get_mut(place) else { continue };
                        let at = below(word.len() + 1);
                        word.insert(at, *b"-=:,+ \n\xff0b".get(below(10)).unwrap());
                    }
                }
            }
            let bytes = line.join(&0);
            assert!(!breaks(&bytes), "{:?}", String::from_utf8_lossy(&bytes));
        }
    }
}
