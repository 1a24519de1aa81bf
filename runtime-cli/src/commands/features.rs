//! `corten features`

use super::{Context, Verb, print};
use crate::failure::Failure;
use std::process::ExitCode;

pub(super) const VERB: Verb = Verb {
    name: "features",
    about: "print what corten can do, as the specification's features structure",
    operands: "",
    count: 0..=0,
    options: |command| command,
    run,
};

fn run(_context: &Context<'_>) -> Result<ExitCode, Failure> {
    let json = serde_json::to_string_pretty(&libcorten::features()).map_err(|error| Failure::new(error.to_string()))?;
    print(&(json + "\n"))
}
