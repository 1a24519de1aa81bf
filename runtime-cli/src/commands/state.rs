//! `corten state`

use super::{Context, Verb, print};
use crate::failure::Failure;
use std::process::ExitCode;

pub(super) const VERB: Verb = Verb {
    name: "state",
    about: "print the state of a container as JSON",
    operands: "CONTAINER-ID",
    count: 1..=1,
    options: |command| command,
    run,
};

fn run(context: &Context<'_>) -> Result<ExitCode, Failure> {
    let mut state = context.container()?.state()?;
    // runc fills the owner in for list only, and engines compare.
    state.owner.clear();
    print(&serde_json::to_string_pretty(&state).map_err(|error| Failure::new(error.to_string()))?)
}
