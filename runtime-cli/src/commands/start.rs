//! `corten start`

use super::{Context, Verb};
use crate::failure::Failure;
use crate::notify::Notify;
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
    let mut container = context.container()?;
    let notify = Notify::listen(&mut container)?;
    container.start()?;
    if let Some(notify) = notify {
        notify.wait(&container, context.log)?;
    }
    Ok(ExitCode::SUCCESS)
}
