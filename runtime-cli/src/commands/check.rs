//! `corten check`

use super::plan::bundle_dir;
use super::{Context, Verb, print};
use crate::args::option;
use crate::failure::Failure;
use libcorten::{Bundle, Error};
use std::ffi::OsStr;
use std::path::Path;
use std::process::ExitCode;

pub(super) const VERB: Verb = Verb {
    name: "check",
    about: "find all faults of a bundle, and what this machine cannot honour",
    operands: "[BUNDLE]",
    count: 0..=1,
    options: |command| command.arg(option("bundle", "DIR", "the bundle [default: the current directory]").short('b')),
    run,
};

fn run(context: &Context<'_>) -> Result<ExitCode, Failure> {
    let dir = bundle_dir(context);
    let faults = faults(context, dir)?;
    Bundle::unknown(dir)?.iter().for_each(|warning| context.log.warning(warning));
    print(&faults.iter().map(|fault| format!("{fault:#}\n")).collect::<String>())?;
    let shown = Path::new(dir).display();
    match faults.len() {
        0 => Ok(ExitCode::SUCCESS),
        1 => Err(Failure::new(format!("bundle {shown} has a fault"))),
        many => Err(Failure::new(format!("bundle {shown} has {many} faults"))),
    }
}

/// The faults of the configuration; if it has none, what the machine cannot honour.
fn faults(context: &Context<'_>, dir: &OsStr) -> Result<Vec<Error>, Failure> {
    let faults = Bundle::check(dir)?;
    if !faults.is_empty() {
        return Ok(faults);
    }
    let bundle = context.bundle(dir)?;
    let builder = context.builder("container")?.loaded_bundle(bundle);
    Ok(builder.plan().map_or_else(|error| vec![error], |plan| libcorten::obstacles(&plan)))
}
