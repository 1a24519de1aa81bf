//! `corten delete`

use super::{Context, Verb};
use crate::args::switch;
use crate::failure::Failure;
use libcorten::{Container, ErrorKind, Force};
use std::process::ExitCode;

pub(super) const VERB: Verb = Verb {
    name: "delete",
    about: "remove a stopped container and all that belongs to it",
    operands: "CONTAINER-ID",
    count: 1..=1,
    options: |command| command.arg(switch("force", "kill the container first if it still runs").short('f')),
    run,
};

fn run(context: &Context<'_>) -> Result<ExitCode, Failure> {
    let force = context.matches.get_flag("force");
    match Container::load(&context.globals.root, context.id()) {
        // The wanted result is there already.
        Err(error) if force && error.kind() == ErrorKind::NotFound => {}
        container => {
            let failed_hooks = context.observed(container?).delete(if force { Force::Yes } else { Force::No })?;
            failed_hooks.iter().for_each(|error| context.log.warning(&format!("{error:#}")));
        }
    }
    Ok(ExitCode::SUCCESS)
}
