//! `corten run`

use super::new_container::{NewContainer, options};
use super::{Context, Verb};
use crate::announcement::delete_after;
use crate::args::switch;
use crate::failure::Failure;
use crate::foreground::Foreground;
use crate::notify::Notify;
use std::process::ExitCode;

pub(super) const VERB: Verb = Verb {
    name: "run",
    about: "create and start a container",
    operands: "CONTAINER-ID",
    count: 1..=1,
    options: |command| {
        options(command)
            .arg(switch("detach", "return when the program has been started").short('d'))
            .arg(switch("keep", "keep the container after the program has ended"))
            .arg(switch("no-subreaper", "do not adopt orphaned processes of the container"))
    },
    run,
};

fn run(context: &Context<'_>) -> Result<ExitCode, Failure> {
    let detach = context.matches.get_flag("detach");
    let new = NewContainer::read(context)?;
    new.check_console(detach)?;
    let announcement = new.announcement()?;
    if detach {
        let (container, notify) = Notify::listen_to_new(new.builder()?.run()?)?;
        let container = announcement.make(container)?;
        return match notify.map(|notify| notify.wait(&container, context.log)) {
            Some(Err(failure)) => Err(delete_after(container, failure)),
            _ => Ok(ExitCode::SUCCESS),
        };
    }
    let foreground = Foreground {
        keep: context.matches.get_flag("keep"),
        subreaper: !context.matches.get_flag("no-subreaper"),
        log: context.log,
    };
    if new.has_terminal() {
        foreground.run_on_terminal(new.builder()?, announcement)
    } else {
        foreground.run(new.builder()?, announcement)
    }
}
