//! The verbs: one small file each.

mod check;
pub(crate) mod checkpoint;
mod completion;
mod create;
mod delete;
mod events;
mod exec;
mod kill;
mod list;
mod new_container;
mod pause;
mod plan;
mod ps;
mod resume;
mod run;
mod spec;
mod start;
mod state;
mod update;

use crate::args::Globals;
use crate::failure::Failure;
use crate::log::Log;
use clap::{ArgMatches, Command};
use libcorten::{Bundle, Container};
use std::ffi::OsStr;
use std::io::Write;
use std::ops::RangeInclusive;
use std::process::ExitCode;

/// A verb of the command line.
pub(crate) struct Verb {
    pub(crate) name: &'static str,
    /// One line for the help.
    pub(crate) about: &'static str,
    /// The operands as the help shows them.
    pub(crate) operands: &'static str,
    /// How many operands there may be.
    pub(crate) count: RangeInclusive<usize>,
    /// Adds the verb's options.
    pub(crate) options: fn(Command) -> Command,
    pub(crate) run: fn(&Context<'_>) -> Result<ExitCode, Failure>,
}

/// All verbs, in the order of the help.
pub(crate) const VERBS: &[Verb] = &[
    check::VERB,
    checkpoint::CHECKPOINT,
    completion::COMPLETION,
    create::VERB,
    delete::VERB,
    events::VERB,
    exec::VERB,
    kill::VERB,
    list::VERB,
    completion::MAN,
    pause::VERB,
    plan::VERB,
    ps::VERB,
    checkpoint::RESTORE,
    resume::VERB,
    run::VERB,
    spec::VERB,
    start::VERB,
    state::VERB,
    update::VERB,
];

/// What a verb works with.
pub(crate) struct Context<'a> {
    pub(crate) globals: &'a Globals,
    pub(crate) log: &'a Log,
    /// The verb's own options and operands.
    pub(crate) matches: ArgMatches,
}

impl Context<'_> {
    /// An operand by its place; `None` when it is absent or empty.
    pub(crate) fn operand(&self, index: usize) -> Option<&str> {
        let operand = self.matches.get_many::<String>("operands")?.nth(index)?;
        Some(operand.as_str()).filter(|text| !text.is_empty())
    }

    /// The first operand of a verb that has a container's id there.
    pub(crate) fn id(&self) -> &str {
        self.operand(0).unwrap_or_default()
    }

    /// Loads a bundle and logs what it warns of.
    fn bundle(&self, dir: &OsStr) -> Result<Bundle, Failure> {
        let bundle = Bundle::open(dir)?;
        for warning in &bundle.spec().warnings {
            self.log.warning(warning);
        }
        Ok(bundle)
    }

    /// The container named by the first operand.
    pub(crate) fn container(&self) -> Result<Container, Failure> {
        Ok(Container::load(&self.globals.root, self.id())?)
    }
}

/// Writes to standard output at once: what a failing write would lose must fail the verb.
pub(crate) fn print(text: &str) -> Result<ExitCode, Failure> {
    let mut output = std::io::stdout().lock();
    let written = output.write_all(text.as_bytes()).and_then(|()| output.flush());
    written.map_err(|error| Failure::os("write to standard output", &error))?;
    Ok(ExitCode::SUCCESS)
}
