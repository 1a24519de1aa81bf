//! Runs a command under ptrace(2), counts the system calls of it and of the init it starts, and does one thing at one of them.
//!
//! A step is a pair of numbers: which process (0 is the command; the others by the order in which they came to be) and which of
//! its system calls. Programs of others, hooks and the container's own, are let go when they are executed.

use crate::calls;
use crate::watchdog::Watchdog;
use nix::errno::Errno;
use nix::sys::ptrace::{self, Options};
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;
use std::collections::HashMap;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

/// What happens at a step, instead of it or before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// The call fails with this error.
    Errno(i32),
    /// The command is killed before the call.
    KillLauncher,
    /// The process that makes the call is killed before it; not the command itself.
    KillCaller,
    /// The call is made later.
    Delay,
    /// The call is made later, and meanwhile another command comes.
    Meanwhile(Other),
}

/// A command that comes while another one is held at a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Other {
    State,
    Kill,
    DeleteForce,
}

/// A system call of the command or of the init.
#[derive(Clone, Debug)]
pub(crate) struct Step {
    /// Whose: 0 is the command.
    pub(crate) process: usize,
    /// Which of its calls.
    pub(crate) ordinal: usize,
    /// The call's number.
    pub(crate) number: i64,
    /// Its name, and the path it is about.
    pub(crate) text: String,
    /// Of a process of its own: what kills a thread of the command kills the command.
    pub(crate) apart: bool,
}

/// What came of the command.
#[derive(Default)]
pub(crate) struct Outcome {
    /// All steps, in the order in which they were seen; of a run with a fault only those before.
    pub(crate) steps: Vec<Step>,
    /// The step was reached.
    pub(crate) fired: bool,
    /// The exit code; none if a signal ended it.
    pub(crate) code: Option<i32>,
    /// It was killed because it did not end.
    pub(crate) hung: bool,
    /// The exit code of the command that came meanwhile, once it has ended; the inner none if a signal ended it.
    pub(crate) other: Option<Option<i32>>,
}

struct Process {
    index: usize,
    calls: usize,
    /// Between the entry and the end of a call.
    inside: bool,
    /// What the call under way is to return.
    result: Option<i64>,
    /// Its first stop is that of attaching.
    fresh: bool,
    /// No thread of the command.
    apart: bool,
}

/// How long a delay is.
const DELAY: Duration = Duration::from_millis(15);

/// And when another command comes meanwhile.
const LONG_DELAY: Duration = Duration::from_millis(100);

/// The code of the stop that PTRACE_INTERRUPT makes.
const EVENT_STOP: i32 = 128;

fn options() -> Options {
    Options::PTRACE_O_TRACESYSGOOD
        | Options::PTRACE_O_TRACECLONE
        | Options::PTRACE_O_TRACEFORK
        | Options::PTRACE_O_TRACEVFORK
        | Options::PTRACE_O_TRACEEXEC
}

struct Tracer<'a> {
    processes: HashMap<Pid, Process>,
    /// All that were ever traced: one may have been let go before its parent tells of it.
    seen: Vec<Pid>,
    root: Pid,
    fault: Option<(&'a Step, Fault)>,
    delayed: Vec<(Pid, Instant)>,
    outcome: Outcome,
    root_ended: bool,
    watchdog: &'a Watchdog,
    record: bool,
    /// What comes meanwhile, and its pid when it has come.
    meanwhile: Option<Command>,
    other: Option<Pid>,
}

/// Runs `command`. With `fault` the fault happens at the step; without one the steps are recorded. A process `beside`, the
/// init that waits for a start, is process 1.
#[allow(clippy::zombie_processes, reason = "the wait for any child reaps it, with those that it leaves")]
pub(crate) fn run(
    watchdog: &Watchdog,
    mut command: Command,
    fault: Option<(&Step, Fault)>,
    beside: Option<i32>,
    meanwhile: Option<Command>,
) -> Outcome {
    if let Some(pid) = beside.map(Pid::from_raw) {
        // It may have ended: then nothing of it is to be seen.
        if ptrace::seize(pid, options()).is_ok() {
            let _ = ptrace::interrupt(pid);
        }
    }
    // SAFETY: between fork and exec the closure makes one system call and allocates nothing.
    unsafe { command.pre_exec(|| ptrace::traceme().map_err(Into::into)) };
    let child = command.spawn().expect("start the command");
    let root = Pid::from_raw(i32::try_from(child.id()).expect("a pid"));
    let mut tracer = Tracer {
        processes: HashMap::new(),
        seen: Vec::new(),
        root,
        fault,
        delayed: Vec::new(),
        outcome: Outcome::default(),
        root_ended: false,
        watchdog,
        record: fault.is_none(),
        meanwhile,
        other: None,
    };
    tracer.add(root, false);
    if let Some(pid) = beside {
        tracer.add(Pid::from_raw(pid), false);
    }
    watchdog.arm();
    tracer.follow();
    tracer.outcome.hung = watchdog.disarm();
    tracer.outcome
}

impl Tracer<'_> {
    fn add(&mut self, pid: Pid, fresh: bool) {
        if self.seen.contains(&pid) {
            return;
        }
        let index = self.seen.len();
        self.seen.push(pid);
        let apart = !Path::new(&format!("/proc/{}/task/{pid}", self.root)).exists();
        self.processes.insert(pid, Process { index, calls: 0, inside: false, result: None, fresh, apart });
        self.watchdog.watch(pid.as_raw());
    }

    fn follow(&mut self) {
        while !(self.root_ended && self.processes.is_empty() && self.other.is_none()) {
            let flags =
                WaitPidFlag::__WALL | self.delayed.first().map_or(WaitPidFlag::empty(), |_| WaitPidFlag::WNOHANG);
            match waitpid(None, Some(flags)) {
                Ok(WaitStatus::StillAlive) => std::thread::sleep(Duration::from_millis(1)),
                Ok(status) => self.handle(status),
                Err(Errno::EINTR) => {}
                Err(_) => return,
            }
            self.resume_delayed();
        }
    }

    fn resume_delayed(&mut self) {
        let now = Instant::now();
        let (due, later) = std::mem::take(&mut self.delayed).into_iter().partition(|(_, until)| *until <= now);
        self.delayed = later;
        let due: Vec<(Pid, Instant)> = due;
        due.into_iter().for_each(|(pid, _)| self.resume(pid, None));
    }

    fn handle(&mut self, status: WaitStatus) {
        match status {
            WaitStatus::Exited(pid, code) => self.ended(pid, Some(code)),
            WaitStatus::Signaled(pid, ..) => self.ended(pid, None),
            WaitStatus::PtraceSyscall(pid) => self.system_call(pid),
            WaitStatus::PtraceEvent(pid, _, libc::PTRACE_EVENT_EXEC) => self.executed(pid),
            WaitStatus::PtraceEvent(pid, _, EVENT_STOP) => self.resume(pid, None),
            WaitStatus::PtraceEvent(pid, _, _) => {
                if let Ok(new) = ptrace::getevent(pid) {
                    self.add(Pid::from_raw(new as i32), true);
                }
                self.resume(pid, None);
            }
            WaitStatus::Stopped(pid, signal) => self.stopped(pid, signal),
            _ => {}
        }
    }

    fn ended(&mut self, pid: Pid, code: Option<i32>) {
        if self.other == Some(pid) {
            self.other = None;
            self.outcome.other = Some(code);
        }
        self.processes.remove(&pid);
        self.delayed.retain(|(delayed, _)| *delayed != pid);
        if pid == self.root {
            self.root_ended = true;
            self.outcome.code = code;
            // What goes on without it is let go: for that it has to stop.
            for pid in self.processes.keys() {
                let _ = kill(*pid, Signal::SIGSTOP);
            }
        }
    }

    fn stopped(&mut self, pid: Pid, signal: Signal) {
        self.add(pid, true);
        let fresh = self.processes.get_mut(&pid).is_some_and(|process| std::mem::take(&mut process.fresh));
        match signal {
            Signal::SIGSTOP if self.root_ended => self.let_go(pid),
            Signal::SIGSTOP if fresh => self.resume(pid, None),
            Signal::SIGTRAP if pid == self.root && ptrace::setoptions(pid, options()).is_ok() => self.resume(pid, None),
            signal => self.resume(pid, Some(signal)),
        }
    }

    /// The init is executed from a memfd; everything else is a program of somebody else's.
    fn executed(&mut self, pid: Pid) {
        let program = std::fs::read_link(format!("/proc/{pid}/exe")).unwrap_or_default();
        if program.to_string_lossy().contains("memfd:") { self.resume(pid, None) } else { self.let_go(pid) }
    }

    fn let_go(&mut self, pid: Pid) {
        let _ = ptrace::detach(pid, None);
        if self.root_ended {
            // The SIGSTOP of `ended` may still be pending, when it met another stop.
            let _ = kill(pid, Signal::SIGCONT);
        }
        self.processes.remove(&pid);
    }

    fn resume(&mut self, pid: Pid, signal: Option<Signal>) {
        let process = self.processes.get(&pid);
        let unfinished = process.is_some_and(|process| process.result.is_some());
        // Only the calls of the process are counted that is to have the fault: that the others stop at each costs most of the time.
        let counted = match self.fault {
            None => true,
            Some((step, _)) => process.is_some_and(|process| process.index == step.process),
        };
        // A process that was killed while it was stopped is gone by now: its end will be told.
        let _ = match unfinished || (counted && !self.outcome.fired) {
            true => ptrace::syscall(pid, signal),
            false => ptrace::cont(pid, signal),
        };
    }

    fn system_call(&mut self, pid: Pid) {
        let Some(process) = self.processes.get_mut(&pid) else { return };
        process.inside = !process.inside;
        if !process.inside {
            if let Some(result) = process.result.take() {
                set_result(pid, result);
            }
            return self.resume(pid, None);
        }
        let (index, ordinal) = (process.index, process.calls);
        process.calls += 1;
        let at_step = |(step, _): &(&Step, Fault)| step.process == index && step.ordinal == ordinal;
        let wanted = self.fault.filter(at_step);
        if !self.record && wanted.is_none() {
            return self.resume(pid, None);
        }
        let Ok(registers) = ptrace::getregs(pid) else { return self.resume(pid, None) };
        let number = registers.orig_rax as i64;
        if self.record {
            let text = calls::describe(pid.as_raw(), &registers);
            let apart = process.apart;
            self.outcome.steps.push(Step { process: index, ordinal, number, text, apart });
        }
        match wanted {
            // Another call than that of the run without a fault: the processes met in another order, or another answered.
            Some((step, fault)) if step.number == number && is_about_the_same(pid, &registers, step) => {
                self.fire(pid, fault, registers);
            }
            _ => self.resume(pid, None),
        }
    }

    #[allow(clippy::zombie_processes, reason = "the wait for any child reaps it")]
    fn fire(&mut self, pid: Pid, fault: Fault, mut registers: libc::user_regs_struct) {
        self.outcome.fired = true;
        match fault {
            Fault::Errno(errno) => {
                // A close that fails has closed nevertheless; every other call that fails has done nothing.
                if registers.orig_rax as i64 != libc::SYS_close {
                    registers.orig_rax = u64::MAX;
                    let _ = ptrace::setregs(pid, registers);
                }
                if let Some(process) = self.processes.get_mut(&pid) {
                    process.result = Some(-i64::from(errno));
                }
                self.resume(pid, None);
            }
            Fault::KillLauncher => {
                let _ = kill(self.root, Signal::SIGKILL);
                self.resume(pid, None);
            }
            Fault::KillCaller => {
                let _ = kill(pid, Signal::SIGKILL);
                self.resume(pid, None);
            }
            Fault::Delay => self.delayed.push((pid, Instant::now() + DELAY)),
            Fault::Meanwhile(_) => {
                self.delayed.push((pid, Instant::now() + LONG_DELAY));
                self.other = self.meanwhile.take().map(|mut command| {
                    let child = command.spawn().expect("start the other command");
                    Pid::from_raw(i32::try_from(child.id()).expect("a pid"))
                });
                self.other.into_iter().for_each(|pid| self.watchdog.watch(pid.as_raw()));
            }
        }
    }
}

/// Whether the call is about the path that the step's was about, but for the numbers in it: those of processes, and temporary names.
fn is_about_the_same(pid: Pid, registers: &libc::user_regs_struct, step: &Step) -> bool {
    let without_numbers = |text: &str| {
        text.split(|c: char| c.is_ascii_digit()).filter(|part| !part.is_empty()).collect::<Vec<_>>().join("#")
    };
    let now = calls::describe(pid.as_raw(), registers);
    if step.number == libc::SYS_flock {
        // Taken or given back.
        return now.split(',').nth(1) == step.text.split(',').nth(1);
    }
    !calls::is_about_a_path(step.number) || without_numbers(&now) == without_numbers(&step.text)
}

fn set_result(pid: Pid, result: i64) {
    if let Ok(mut registers) = ptrace::getregs(pid) {
        registers.rax = result as u64;
        let _ = ptrace::setregs(pid, registers);
    }
}
