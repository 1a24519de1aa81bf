//! `corten checkpoint` and `corten restore`: known by name and options, and refused.
//!
//! Podman takes the exit status of `checkpoint --help` for the answer whether a runtime can do it, so that fails as well.

use super::{Context, Verb};
use crate::args::{option, switch};
use crate::failure::Failure;
use clap::Command;
use std::process::ExitCode;

pub(super) const CHECKPOINT: Verb = Verb {
    name: "checkpoint",
    about: "not supported yet: save the state of a running container",
    operands: "CONTAINER-ID",
    count: 1..=1,
    options: |command| {
        shared(command)
            .arg(option("parent-path", "DIR", "an earlier image, of --pre-dump"))
            .arg(switch("leave-running", "let the container run on"))
            .arg(option("status-fd", "FD", "where to say that lazy pages are ready"))
            .arg(option("page-server", "ADDRESS:PORT", "send the pages there"))
            .arg(switch("pre-dump", "save memory only and let the container run on"))
    },
    run: refuse_checkpoint,
};

pub(super) const RESTORE: Verb = Verb {
    name: "restore",
    about: "not supported yet: make a container from a saved state",
    operands: "CONTAINER-ID",
    count: 1..=1,
    options: |command| {
        shared(command)
            .arg(option("bundle", "DIR", "the bundle").short('b'))
            .arg(option("console-socket", "SOCKET", "AF_UNIX socket to send the terminal's master to"))
            .arg(switch("detach", "return when the program runs again").short('d'))
            .arg(option("pid-file", "FILE", "write the pid of the container's first process to FILE"))
            .arg(switch("no-subreaper", "do not adopt orphaned processes of the container"))
            .arg(switch("no-pivot", "do not use pivot_root"))
            .arg(option("lsm-profile", "TYPE:NAME", "the LSM profile to restore with"))
            .arg(option("lsm-mount-context", "CONTEXT", "the LSM mount context to restore with"))
    },
    run: refuse_restore,
};

fn shared(command: Command) -> Command {
    command
        .arg(option("image-path", "DIR", "the saved state"))
        .arg(option("work-path", "DIR", "where logs go"))
        .arg(switch("tcp-established", "allow open TCP connections"))
        .arg(switch("ext-unix-sk", "allow sockets to processes outside"))
        .arg(switch("shell-job", "allow a terminal of the caller"))
        .arg(switch("lazy-pages", "copy memory on demand"))
        .arg(switch("file-locks", "keep file locks"))
        .arg(option("manage-cgroups-mode", "MODE", "soft, full or strict"))
        .arg(option("empty-ns", "NAMESPACE", "a namespace whose properties are left out"))
        .arg(switch("auto-dedup", "leave out memory that an earlier image has"))
}

/// Whether the verb always fails, so that even its `--help` does.
pub(crate) fn is_refused(verb: &str) -> bool {
    [CHECKPOINT.name, RESTORE.name].contains(&verb)
}

fn refuse_checkpoint(_: &Context<'_>) -> Result<ExitCode, Failure> {
    Err(Failure::new("corten does not support checkpoint yet; the container was left as it is"))
}

fn refuse_restore(_: &Context<'_>) -> Result<ExitCode, Failure> {
    Err(Failure::new("corten does not support restore yet; nothing was created"))
}
