//! `corten resume`

use super::{Context, Verb};
use crate::failure::Failure;
use std::process::ExitCode;

pub(super) const VERB: Verb = Verb {
    name: "resume",
    about: "let the processes of a paused container run on",
    operands: "CONTAINER-ID",
    count: 1..=1,
    options: |command| command,
    run,
};

fn run(context: &Context<'_>) -> Result<ExitCode, Failure> {
    context.container()?.resume()?;
    Ok(ExitCode::SUCCESS)
}
