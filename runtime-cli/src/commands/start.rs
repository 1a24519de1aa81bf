//! `corten start`

use super::{Context, Verb};
use crate::failure::Failure;
use std::process::ExitCode;

pub(super) const VERB: Verb = Verb {
    name: "start",
    about: "start the program of a created container",
    operands: "CONTAINER-ID",
    count: 1..=1,
    options: |command| command,
    run,
};

fn run(context: &Context<'_>) -> Result<ExitCode, Failure> {
    context.container()?.start()?;
    Ok(ExitCode::SUCCESS)
}
