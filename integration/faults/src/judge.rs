//! What may come of an operation with a fault, and what may not.

use crate::bundle::{DEVICE, Kind};
use crate::operation::Operation;
use crate::trace::{Fault, Other, Outcome};
use crate::worker::{KILLED, Worker};
use crate::{explained, leftovers};

impl Worker {
    /// Both commands end by themselves, and say why if they fail; a look changes nothing.
    fn judge_both(&self, other: Other, outcome: &Outcome) -> Result<(), String> {
        for (whose, code, file) in
            [("it", outcome.code, "traced.err"), ("the other", outcome.other.flatten(), "other.err")]
        {
            match code {
                None => return Err(format!("{whose}: a signal ended it")),
                Some(KILLED) if whose == "it" && self.task.operation.waits_for_program() => {}
                Some(code) if code != 0 && self.text(file).trim().is_empty() => {
                    return Err(format!("{whose}: exit code {code} without a word"));
                }
                Some(_) => {}
            }
        }
        match other {
            Other::State if outcome.code == Some(0) => self.task.operation.verify(self, &self.spoken()),
            Other::State => Err("a look at the state makes it fail".to_owned()),
            _ => Ok(()),
        }
    }

    /// Whether it has gone as it may.
    pub(crate) fn judge(&self, fault: Fault, outcome: &Outcome) -> Result<(), String> {
        if let (Fault::Meanwhile(other), true) = (fault, outcome.fired) {
            return self.judge_both(other, outcome);
        }
        let operation = self.task.operation;
        let launcher_killed = fault == Fault::KillLauncher && outcome.fired;
        let message = self.text("traced.err");
        let says_why = match fault {
            Fault::Errno(errno) => explained::names(&message, errno),
            _ => !message.trim().is_empty(),
        };
        match outcome.code {
            // The program's end counts, and that the container could not be taken away after it is said.
            Some(0) if operation == Operation::Run && says_why => return Ok(()),
            Some(0) => match operation.verify(self, &self.spoken()) {
                // Once it may go on, an init that is killed is a program that was killed.
                Err(_) if fault == Fault::KillCaller && operation.runs_program() => return Ok(()),
                Err(_) if fault == Fault::KillCaller && operation == Operation::Create => {
                    return self.status_is("stopped");
                }
                verified => return verified,
            },
            Some(KILLED) if fault == Fault::KillCaller && operation.waits_for_program() => return Ok(()),
            None if !launcher_killed => return Err("a signal ended it".to_owned()),
            None => return self.after_a_kill(),
            Some(_) => {}
        }
        match fault {
            Fault::Delay | Fault::Meanwhile(_) => return Err("it does not bear a delay".to_owned()),
            _ if !says_why => return Err("it does not name the error".to_owned()),
            // Of a kill there is nothing to be said but that it was one.
            Fault::Errno(_) if !explained::tells_where(&message) => {
                return Err("it names neither a step nor an element".to_owned());
            }
            _ => {}
        }
        if operation.makes() {
            // That of a program which has run ends with its namespace; a run records it when it runs.
            let recorded_late = operation == Operation::RunDetached && message.contains("/init.json: ");
            let has_run = operation == Operation::Run || recorded_late;
            let device =
                has_run || self.task.kind != Kind::Device || leftovers::net_devices().iter().any(|name| name == DEVICE);
            return self.is_gone().and(if device { Ok(()) } else { Err("the network device is lost".to_owned()) });
        }
        if operation.keeps() {
            return self.status_is("running");
        }
        Ok(())
    }

    /// The next commands see a container that is consistent, or none.
    fn after_a_kill(&self) -> Result<(), String> {
        match self.task.operation {
            // On version 1 the container stands still while systemd is told.
            Operation::Update if self.task.systemd && !self.task.unified => self.runs_or_can_be_resumed(),
            operation if operation.keeps() => self.status_is("running"),
            Operation::Pause | Operation::Resume => self.runs_or_can_be_resumed(),
            _ => Ok(()),
        }
    }

    fn runs_or_can_be_resumed(&self) -> Result<(), String> {
        match self.status()?.as_str() {
            "running" => {}
            "paused" => self.must(&["resume", self.id()])?,
            other => return Err(format!("it is {other}")),
        }
        self.must(&["exec", self.id(), "/bin/true"])
    }
}
