//! `corten`, the command: the verbs of runc's command line over `libcorten`.
//!
//! Only this file prints errors and decides the exit code; a verb (`commands/`) returns one or the other. It is a library for
//! the sake of the fuzzer alone, who cannot call a program's functions: nothing else may use it.

mod announcement;
mod args;
mod commands;
mod completion;
mod doctor;
mod failure;
mod foreground;
#[cfg(any(test, fuzzing))]
#[doc(hidden)]
pub mod fuzzing;
mod log;
mod man;
mod notify;
mod signal;
mod table;
mod terminal;

use args::Invocation;
use commands::Context;
use failure::Failure;
use log::Log;
use std::ffi::OsString;
use std::io::Write;
use std::process::ExitCode;

/// The program.
pub fn main() -> ExitCode {
    libcorten::default_sigchld();
    let arguments: Vec<OsString> = std::env::args_os().skip(1).collect();
    let mut log = Log::default();
    run(&arguments, &mut log).unwrap_or_else(|failure| report(&failure, &log))
}

fn run(arguments: &[OsString], log: &mut Log) -> Result<ExitCode, Failure> {
    let split = args::split(arguments);
    let globals = match args::globals(&split) {
        Ok(globals) => globals,
        Err(failure) => {
            // Where to log is looked for in the arguments that are wrong: engines read the reason there.
            *log = Log::open(&args::log_options_in(split.globals)).unwrap_or_default();
            return Err(failure);
        }
    };
    *log = Log::open(&globals.log)?;
    match args::invocation(&split, &globals)? {
        Invocation::Print(text) => commands::print(&text),
        Invocation::Verb { verb, matches } => {
            log.debug(&format!("corten {}", verb.name));
            let begin = log.is_debug().then(std::time::Instant::now);
            let context = Context { globals: &globals, log, matches };
            let result = (verb.run)(&context);
            if let Some(begin) = begin {
                log.debug(&format!("corten {}: {} µs", verb.name, begin.elapsed().as_micros()));
            }
            result
        }
    }
}

fn report(failure: &Failure, log: &Log) -> ExitCode {
    if let Some(usage) = failure.usage() {
        // Nobody is left to be told that standard output is closed.
        let _ = std::io::stdout().lock().write_all(usage.as_bytes());
    }
    log.error(failure.message());
    failure.exit_code()
}
