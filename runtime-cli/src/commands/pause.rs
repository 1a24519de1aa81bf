//! `corten pause`

use super::{Context, Verb};
use crate::failure::Failure;
use std::process::ExitCode;

pub(super) const VERB: Verb = Verb {
    name: "pause",
    about: "stop all processes of a container where they are",
    operands: "CONTAINER-ID",
    count: 1..=1,
    options: |command| command,
    run,
};

fn run(context: &Context<'_>) -> Result<ExitCode, Failure> {
    context.container()?.pause()?;
    Ok(ExitCode::SUCCESS)
}
