//! `corten create`

use super::new_container::{NewContainer, options};
use super::{Context, Verb};
use crate::failure::Failure;
use std::process::ExitCode;

pub(super) const VERB: Verb = Verb {
    name: "create",
    about: "create a container from a bundle",
    operands: "CONTAINER-ID",
    count: 1..=1,
    options,
    run,
};

fn run(context: &Context<'_>) -> Result<ExitCode, Failure> {
    let new = NewContainer::read(context)?;
    new.check_console(true)?;
    let announcement = new.announcement()?;
    let container = new.builder()?.create()?;
    announcement.make(container)?;
    Ok(ExitCode::SUCCESS)
}
