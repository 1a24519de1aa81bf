//! The commands that are tried, what has to be there before, and what must hold after one that succeeded.

use crate::bundle::{Program, SPEAK};
use crate::worker::Worker;
use std::path::Path;

/// A command of the runtime.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Operation {
    Create,
    Run,
    RunDetached,
    Start,
    Exec,
    ExecDetached,
    Pause,
    Resume,
    Update,
    Kill,
    Delete,
    DeleteForce,
    State,
    Ps,
}

/// What is there before.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Before {
    Nothing,
    Created,
    Running,
    Paused,
    Stopped,
}

impl Operation {
    pub(crate) const ALL: [Operation; 14] = [
        Operation::Create,
        Operation::Run,
        Operation::RunDetached,
        Operation::Start,
        Operation::Exec,
        Operation::ExecDetached,
        Operation::Pause,
        Operation::Resume,
        Operation::Update,
        Operation::Kill,
        Operation::Delete,
        Operation::DeleteForce,
        Operation::State,
        Operation::Ps,
    ];

    /// As on the command line.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Operation::Create => "create",
            Operation::Run => "run",
            Operation::RunDetached => "run-detached",
            Operation::Start => "start",
            Operation::Exec => "exec",
            Operation::ExecDetached => "exec-detached",
            Operation::Pause => "pause",
            Operation::Resume => "resume",
            Operation::Update => "update",
            Operation::Kill => "kill",
            Operation::Delete => "delete",
            Operation::DeleteForce => "delete-force",
            Operation::State => "state",
            Operation::Ps => "ps",
        }
    }

    fn before(self) -> Before {
        match self {
            Operation::Create | Operation::Run | Operation::RunDetached => Before::Nothing,
            Operation::Start => Before::Created,
            Operation::Resume => Before::Paused,
            Operation::Delete => Before::Stopped,
            _ => Before::Running,
        }
    }

    /// Whether it makes the container: one that fails leaves nothing.
    pub(crate) fn makes(self) -> bool {
        self.before() == Before::Nothing
    }

    /// Whether the container is as it was when it fails.
    pub(crate) fn keeps(self) -> bool {
        matches!(self, Operation::Exec | Operation::ExecDetached | Operation::Update | Operation::State | Operation::Ps)
    }

    /// Whether a program begins with it.
    pub(crate) fn runs_program(self) -> bool {
        matches!(self, Operation::RunDetached | Operation::Start | Operation::ExecDetached)
    }

    /// Whether it ends as the program does.
    pub(crate) fn waits_for_program(self) -> bool {
        matches!(self, Operation::Run | Operation::Exec)
    }

    /// The words after the runtime's global options.
    pub(crate) fn words(self, worker: &Worker) -> Vec<String> {
        worker.with_terminal(self.plain_words(worker))
    }

    fn plain_words(self, worker: &Worker) -> Vec<String> {
        let id = worker.id();
        let bundle = |program: Program| worker.bundle(program).display().to_string();
        let words: Vec<&str> = match self {
            Operation::Create => return strings(&["create", "--bundle", &bundle(Program::Speaks), id]),
            Operation::Run => return strings(&["run", "--bundle", &bundle(Program::Ends), id]),
            Operation::RunDetached => {
                return strings(&["run", "--detach", "--bundle", &bundle(Program::Speaks), id]);
            }
            Operation::Update => {
                return strings(&["update", "--resources", &worker.resources().display().to_string(), id]);
            }
            Operation::Start => vec!["start", id],
            Operation::Exec => vec!["exec", id, "/bin/sh", "-c", SPEAK],
            Operation::ExecDetached => vec!["exec", "--detach", id, "/bin/sh", "-c", SPEAK],
            Operation::Pause => vec!["pause", id],
            Operation::Resume => vec!["resume", id],
            Operation::Kill => vec!["kill", id, "KILL"],
            Operation::Delete => vec!["delete", id],
            Operation::DeleteForce => vec!["delete", "--force", id],
            Operation::State => vec!["state", id],
            Operation::Ps => vec!["ps", id],
        };
        strings(&words)
    }

    /// Brings the container to where the operation begins. What it gives is a fault.
    pub(crate) fn prepare(self, worker: &Worker) -> Result<(), String> {
        let id = worker.id();
        let run = || worker.run_bundle(&["run", "--detach"], Program::Waits);
        worker.make_device()?;
        match self.before() {
            Before::Nothing => Ok(()),
            Before::Created => worker.run_bundle(&["create"], Program::Speaks),
            Before::Running => run(),
            Before::Paused => run().and_then(|()| worker.must(&["pause", id])),
            Before::Stopped => {
                run()?;
                worker.must(&["kill", id, "KILL"])?;
                worker.wait_for_status("stopped")
            }
        }
    }

    /// What holds after a success.
    pub(crate) fn verify(self, worker: &Worker, output: &Path) -> Result<(), String> {
        let id = worker.id();
        match self {
            Operation::Create => {
                worker.status_is("created")?;
                worker.must(&["start", id])?;
                worker.speaks_as_ever(output)
            }
            Operation::RunDetached | Operation::Start => {
                worker.speaks_as_ever(output)?;
                worker.status_is("running")
            }
            Operation::Run => {
                worker.speaks_as_ever(output)?;
                worker.is_gone()
            }
            Operation::Exec | Operation::ExecDetached => worker.speaks_as_ever(output),
            Operation::Pause => {
                worker.status_is("paused")?;
                worker.must(&["resume", id])?;
                worker.status_is("running")
            }
            Operation::Resume => worker.status_is("running"),
            Operation::Update => worker.is_updated(),
            Operation::Kill => worker.wait_for_status("stopped"),
            Operation::Delete | Operation::DeleteForce => worker.is_gone(),
            Operation::State | Operation::Ps => worker.prints_as_ever(output),
        }
    }
}

fn strings(words: &[&str]) -> Vec<String> {
    words.iter().map(|word| (*word).to_owned()).collect()
}
