//! `corten kill`

use super::{Context, Verb};
use crate::args::switch;
use crate::failure::Failure;
use crate::signal;
use std::process::ExitCode;

pub(super) const VERB: Verb = Verb {
    name: "kill",
    about: "send a signal (TERM unless named) to a container's first process",
    operands: "CONTAINER-ID [SIGNAL]",
    count: 1..=2,
    options: |command| command.arg(switch("all", "send it to every process of the container").short('a')),
    run,
};

fn run(context: &Context<'_>) -> Result<ExitCode, Failure> {
    let container = context.container()?;
    let signal = signal::parse(context.operand(1).unwrap_or("TERM"))?;
    if context.matches.get_flag("all") {
        container.kill_all(signal)?;
    } else {
        container.kill(signal)?;
    }
    Ok(ExitCode::SUCCESS)
}
