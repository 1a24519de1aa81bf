//! Many commands on many containers at once, in a random order that its seed makes again.
//!
//! Commands that meet may fail: an `exec` in a container that another thread has just deleted. What a runtime says then is
//! known ([`explained`]); any other failure, any command that does not end, and anything that is left is a fault.

use crate::Result;
use crate::process::checked;
use crate::program::Program;
use std::path::Path;
use std::process::Command;
use std::sync::Mutex;
use std::time::Instant;

/// Marsaglia's xorshift64: small, and the same on every machine.
pub struct Random(u64);

impl Random {
    /// A sequence of its own for each seed.
    pub fn new(seed: u64) -> Random {
        // Zero is the one state that it never leaves.
        Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    /// A number below `bound`, which is not 0.
    pub fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 >> 33).unwrap_or(0) % bound.max(1)
    }
}

/// What is done to one container.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Act {
    /// `exec /bin/true`.
    Exec,
    /// `pause`, then `resume`.
    Pause,
    /// `update --cpu-shares`.
    Update,
    /// `state`.
    State,
    /// `ps`.
    Ps,
    /// `kill KILL`.
    Kill,
    /// `delete --force`, then `run --detach` under the same id.
    Renew,
}

/// How often each is drawn.
const DRAW: [Act; 12] = [
    Act::Exec,
    Act::Exec,
    Act::Exec,
    Act::Exec,
    Act::Pause,
    Act::Update,
    Act::Update,
    Act::State,
    Act::State,
    Act::Ps,
    Act::Kill,
    Act::Renew,
];

/// Parts of the messages that a command may fail with when others work on the same container.
const EXPLAINED: [&str; 18] = [
    "does not exist",
    "not running",
    "stopped",
    "already exists",
    "not paused",
    "already paused",
    "paused container",
    "cannot exec",
    "cannot start an already running",
    "is not running",
    "no such process",
    "No such process",
    "has ended",
    "is being created",
    "not created",
    "gone",
    // A kill or a forced delete undoes a pause,
    "was thawed by somebody else",
    // and ends a start.
    "the init was killed by signal 9",
];

/// Whether other commands on the same container explain this failure.
pub fn explained(message: &str) -> bool {
    // The program that exec ran was killed with the container, which only its exit code tells.
    let killed = message.contains(" exec ") && message.ends_with("exit status: 137");
    killed || EXPLAINED.iter().any(|part| message.contains(part))
}

/// What a mix has come to.
#[derive(Default)]
pub struct Outcome {
    /// Milliseconds of each command that succeeded.
    pub times: Vec<f64>,
    /// How many failed for a reason that the others explain.
    pub met: usize,
    /// Everything else that failed.
    pub faults: Vec<String>,
}

/// The commands of one runtime on the containers `PREFIX-0` … of a bundle whose program waits.
pub struct Mix<'a> {
    /// The runtime.
    pub program: &'a Program,
    /// The bundle.
    pub bundle: &'a Path,
    /// What the ids begin with.
    pub prefix: &'a str,
    /// How many containers.
    pub containers: usize,
    /// How many threads give commands.
    pub threads: usize,
    /// How many commands each gives.
    pub commands: usize,
}

impl Mix<'_> {
    /// Makes the containers, gives all commands, deletes the containers.
    pub fn run(&self, seed: u64) -> Outcome {
        let outcome = Mutex::new(Outcome::default());
        for container in 0..self.containers {
            self.time(self.start(&self.id(container)), &outcome, true);
        }
        std::thread::scope(|scope| {
            for thread in 0..self.threads {
                let outcome = &outcome;
                scope.spawn(move || {
                    let mut random = Random::new(seed.wrapping_add(1 + thread as u64));
                    for _ in 0..self.commands {
                        let id = self.id(random.below(self.containers));
                        let act = DRAW.get(random.below(DRAW.len())).copied().unwrap_or(Act::State);
                        self.act(act, &id, outcome);
                    }
                });
            }
        });
        for container in 0..self.containers {
            self.time(self.program.delete(&self.id(container)), &outcome, true);
        }
        outcome.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    fn id(&self, container: usize) -> String {
        format!("{}-{container}", self.prefix)
    }

    fn start(&self, id: &str) -> Command {
        self.program.verb("run", &["--detach".as_ref(), "--bundle".as_ref(), self.bundle.as_os_str(), id.as_ref()])
    }

    fn act(&self, act: Act, id: &str, outcome: &Mutex<Outcome>) {
        let verb = |words: &[&str]| match words.split_first() {
            Some((verb, rest)) => {
                self.program.verb(verb, &rest.iter().map(|word| (*word).as_ref()).collect::<Vec<_>>())
            }
            None => Command::new("true"),
        };
        let commands = match act {
            Act::Exec => vec![verb(&["exec", id, "/bin/true"])],
            Act::Pause => vec![verb(&["pause", id]), verb(&["resume", id])],
            Act::Update => vec![verb(&["update", "--cpu-share", "512", id])],
            Act::State => vec![verb(&["state", id])],
            Act::Ps => vec![verb(&["ps", id])],
            Act::Kill => vec![verb(&["kill", id, "KILL"])],
            Act::Renew => vec![self.program.delete(id), self.start(id)],
        };
        commands.into_iter().for_each(|command| self.time(command, outcome, false));
    }

    fn time(&self, command: Command, outcome: &Mutex<Outcome>, alone: bool) {
        let begin = Instant::now();
        let ended: Result<String> = checked(command);
        let took = begin.elapsed().as_secs_f64() * 1e3;
        let mut outcome = outcome.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        match ended {
            Ok(_) => outcome.times.push(took),
            Err(message) if !alone && explained(&message) => outcome.met += 1,
            Err(message) => outcome.faults.push(message),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_makes_the_same_sequence_again() {
        let sequence = |seed| {
            let mut random = Random::new(seed);
            (0..50).map(|_| random.below(12)).collect::<Vec<_>>()
        };
        assert_eq!(sequence(7), sequence(7));
        assert_ne!(sequence(7), sequence(8));
        let mut seen = sequence(1);
        seen.sort_unstable();
        seen.dedup();
        assert!(seen.len() > 6, "{seen:?}");
    }

    #[test]
    fn a_deadline_that_passed_is_never_explained() {
        assert!(explained("corten exec x true: exit status: 255: container not running"));
        assert!(explained("corten --root /r exec x /bin/true: exit status: 137"));
        assert!(!explained("corten --root /r run x: exit status: 137"));
        assert!(!explained("a command did not end within 20 s"));
        assert!(!explained("corten exec x true: exit status: 255: speak to the init: Broken pipe"));
    }
}
