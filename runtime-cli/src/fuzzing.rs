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
    use std::path::Path;

    #[test]
    fn the_corpus_breaks_nothing() {
        let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/corpus/arguments");
        let seeds: Vec<_> = std::fs::read_dir(corpus).unwrap().map(|entry| entry.unwrap().path()).collect();
        assert!(!seeds.is_empty());
        let breaks = |seed: &Path| {
            let bytes = std::fs::read(seed).unwrap();
            std::panic::catch_unwind(|| arguments(&bytes)).is_err()
        };
        let broken: Vec<_> = seeds.iter().filter(|seed| breaks(seed)).collect();
        assert!(broken.is_empty(), "{broken:?}");
    }
}
