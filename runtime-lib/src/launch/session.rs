//! The conversation with an init, and the processes that take each other's place in it.

use super::report;
use super::wire::{self, Phase, Report};
use super::{hooks, netdev};
use crate::error::{Error, ErrorKind, Result};
use crate::plan::Plan;
use crate::sys::clone::Child;
use crate::sys::{pidfd, socket};
use nix::errno::Errno;
use std::collections::VecDeque;
use std::fs::File;
use std::os::fd::OwnedFd;
use std::time::Duration;

/// A start under way: its init is killed when this is dropped, unless it was taken.
pub(super) struct Session<'a> {
    pub(super) plan: &'a Plan,
    pub(super) link: OwnedFd,
    pub(super) child: Option<Child>,
    /// What the init's child has said before the init told of it.
    early: VecDeque<Report>,
    /// The init is let go only once it is ready: who waits for a paused container may give up before.
    pub(super) go_late: bool,
    pub(super) hook_output: Option<File>,
    pub(super) net_devices: Option<netdev::NetDevices>,
}

impl Drop for Session<'_> {
    fn drop(&mut self) {
        if let Some(child) = self.child.take() {
            let _ = pidfd::signal(&child.pidfd, libc::SIGKILL);
            let _ = pidfd::wait(&child.pidfd);
        }
    }
}

impl<'a> Session<'a> {
    pub(super) fn new(plan: &'a Plan, link: OwnedFd, child: Child) -> Session<'a> {
        Session {
            plan,
            link,
            child: Some(child),
            early: VecDeque::new(),
            go_late: false,
            hook_output: None,
            net_devices: None,
        }
    }

    pub(super) fn pid(&self) -> i32 {
        self.child.as_ref().map_or(0, |child| child.pid)
    }

    /// The init is on its own from here.
    pub(super) fn take_child(&mut self) -> Result<Child> {
        if let Some(devices) = self.net_devices.take() {
            devices.keep();
        }
        self.child.take().ok_or_else(|| Error::new(ErrorKind::Internal, "the init is gone"))
    }

    /// A copy of a descriptor of the init's.
    pub(super) fn take_fd(&self, number: i64) -> Result<OwnedFd> {
        let taken = match (&self.child, i32::try_from(number)) {
            (Some(child), Ok(number)) => pidfd::take_fd(&child.pidfd, number),
            _ => Err(Errno::EBADF),
        };
        taken.map_err(|errno| Error::os("take the seccomp listener from the init", errno).at("linux.seccomp"))
    }

    pub(super) fn say(&self, word: u8) -> Result<()> {
        match socket::send(&self.link, &[word], &[]) {
            Ok(_) => Ok(()),
            // The init has failed meanwhile: what it said about it is still to be read.
            Err(Errno::EPIPE | Errno::ECONNRESET) => Ok(()),
            Err(errno) => Err(Error::os("speak to the init", errno)),
        }
    }

    /// The next report; none at the end.
    pub(super) fn hear(&mut self) -> Result<Option<Report>> {
        match self.early.pop_front() {
            Some(report) => Ok(Some(report)),
            None => self.receive(),
        }
    }

    pub(super) fn receive(&self) -> Result<Option<Report>> {
        let mut bytes = [0; Report::SIZE];
        let mut filled = 0;
        while let Some(rest) = bytes.get_mut(filled..).filter(|rest| !rest.is_empty()) {
            match socket::receive(&self.link, rest).map_err(|errno| Error::os("listen to the init", errno))? {
                0 if filled == 0 => return Ok(None),
                0 => return Err(Error::new(ErrorKind::Internal, "the init ended in the middle of a word")),
                count => filled += count,
            }
        }
        report::decode(&bytes).map(Some)
    }

    /// Waits until the init has reached `phase`.
    pub(super) fn reached(&mut self, phase: Phase) -> Result<Report> {
        match self.hear()? {
            Some(report) if report.phase == phase && report.op == wire::Op::Whole && report.errno == 0 => Ok(report),
            Some(report) => Err(self.failure(&report)),
            None => Err(self.silence()),
        }
    }

    pub(super) fn failure(&mut self, report: &Report) -> Error {
        let error = report::render(report, self.plan);
        match self.hook_output.take() {
            Some(output) if error.kind() == ErrorKind::Hook => hooks::with_output(error, output),
            _ => error,
        }
    }

    /// If the init has failed by itself, its report is the cause of `error`, such as that of joining a process that has
    /// ended.
    pub(super) fn first_cause(&mut self, error: Error) -> Error {
        let ended = match error.errno() {
            // It has closed the socket: nothing more will come, and what came is to be read.
            Some(libc::EPIPE | libc::ECONNRESET) => true,
            errno => {
                // The kernel may not find a process any more that is still about to end, nor its descriptors (EBADF, of older ones);
                // nor does systemd, in words of its own.
                let is_lost = matches!(errno, None | Some(libc::ESRCH | libc::EBADF));
                let patience = Duration::from_millis(if is_lost { 100 } else { 0 });
                let ends = |child: &Child| pidfd::ends_within(&child.pidfd, patience).unwrap_or(false);
                self.child.as_ref().is_some_and(ends)
            }
        };
        // A child that it has forked holds the socket as well, and may be waiting for us: only what is there is heard.
        let told = ended && (!self.early.is_empty() || socket::is_readable(&self.link));
        match if told { self.hear() } else { Ok(None) } {
            Ok(Some(report)) if report.errno != 0 => self.failure(&report),
            _ => error,
        }
    }

    /// Waits for a word of the child's, or for its end; whether there is a word.
    fn has_been_told(&self) -> Result<bool> {
        let Some(child) = &self.child else { return Ok(false) };
        let failed = |errno| Error::os("listen to the init", errno);
        socket::readable_unless_ended(&self.link, &child.pidfd).map_err(failed)
    }

    /// The init ended without a word.
    pub(super) fn silence(&mut self) -> Error {
        let ended = self.child.take().map(|child| {
            let _ = pidfd::signal(&child.pidfd, libc::SIGKILL);
            pidfd::wait(&child.pidfd)
        });
        let (how, forbidden) = match ended {
            // SIGILL is how the init ends that is not allowed to exit.
            Some(Ok(pidfd::Ended::Signaled(signal))) => {
                (format!("the init was killed by signal {signal}"), matches!(signal, libc::SIGSYS | libc::SIGILL))
            }
            Some(Ok(pidfd::Ended::Exited(code))) => (format!("the init ended with code {code}"), true),
            Some(Err(_)) | None => ("the init is gone".to_owned(), false),
        };
        if forbidden && self.plan.security.seccomp.is_some() {
            return Error::config("linux.seccomp", format!("no program can be executed under the profile: {how}"))
                .hint("it must allow at least read, write, execve and exit_group");
        }
        Error::new(ErrorKind::Internal, how)
            .hint("out of memory in the container's cgroup ends it so, as does a forced delete")
    }
}

/// Whether the step belongs to the init that was started, not to the child that it forks.
fn is_before_fork(phase: Phase) -> bool {
    matches!(phase, Phase::Begin | Phase::Orders | Phase::OomScore | Phase::Join | Phase::Fork)
}

/// What the init says about its fork. Its child does not wait for that: what it says meanwhile is kept.
fn fork_report(session: &mut Session<'_>) -> Result<Report> {
    if session.plan.namespaces.is_new(crate::spec::NamespaceKind::User) {
        // The child says nothing before its ids are mapped.
        must_still_speak(session)?;
    }
    loop {
        match session.receive()? {
            Some(report) if report.phase == Phase::Fork && report.errno == 0 => return Ok(report),
            // The init's own failure: there is no child then.
            Some(report) if report.errno != 0 && is_before_fork(report.phase) => return Err(session.failure(&report)),
            Some(report) => {
                session.early.push_back(report);
                must_still_speak(session)?;
            }
            None => return Err(session.silence()),
        }
    }
}

/// What the init says about its fork into the time namespace, whose child waits for us.
pub(super) fn time_report(session: &mut Session<'_>) -> Result<Report> {
    if session.early.is_empty() {
        must_still_speak(session)?;
    }
    session.reached(Phase::TimeOffsets)
}

/// The init's child has spoken first, or waits for us. Somebody may have killed the init before it could tell of its child, which holds the
/// socket open and waits for us, as we would for the init.
fn must_still_speak(session: &mut Session<'_>) -> Result<()> {
    if session.child.is_none() || session.has_been_told()? { Ok(()) } else { Err(session.silence()) }
}

/// The init forked into the namespaces: its child takes its place, which is our child as well.
pub(super) fn follow_fork(session: &mut Session<'_>) -> Result<()> {
    let report = fork_report(session)?;
    take_over(session, &report)
}

/// The child whose pid `report` tells takes the place of the process that told it.
pub(super) fn take_over(session: &mut Session<'_>, report: &Report) -> Result<()> {
    let pid = i32::try_from(report.detail).map_err(|_| Error::new(ErrorKind::Internal, "the init sent no pid"))?;
    // It is not reaped before we do: the pid is nobody else's.
    let pidfd = pidfd::open(pid).map_err(|errno| {
        let _ = crate::sys::kill::kill(pid, libc::SIGKILL);
        let _ = nix::sys::wait::waitpid(nix::unistd::Pid::from_raw(pid), None);
        Error::os("open the init's child", errno)
    })?;
    if let Some(first) = session.child.replace(Child { pid, pidfd, in_cgroup: false }) {
        match pidfd::wait(&first.pidfd) {
            // A caller that ignores SIGCHLD has no zombies.
            Ok(_) | Err(Errno::ECHILD) => {}
            Err(errno) => return Err(Error::os("wait for the init", errno)),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::{Hierarchy, Host, HostCgroups};
    use crate::launch::{Hooked, Launch};
    use crate::plan::{self, Choices};
    use crate::{Bundle, ContainerId};
    use std::marker::PhantomData;

    /// The init says that the filter is loaded, and then that it fails: by the time that its descriptor is asked for it is gone.
    #[test]
    fn why_the_init_has_ended_counts_more_than_that_its_listener_is_gone() {
        let mut config = serde_json::to_value(crate::spec::example(None, true)).unwrap();
        config["linux"]["seccomp"] = serde_json::json!({"defaultAction": "SCMP_ACT_ALLOW", "listenerPath": "/run/agent.sock",
            "syscalls": [{"names": ["mkdir"], "action": "SCMP_ACT_NOTIFY"}]});
        let bundle = Bundle::with_config("/bundle", config.to_string().as_bytes()).unwrap();
        let v2 = Hierarchy { controllers: vec![], mount_point: "/sys/fs/cgroup".into(), own_path: "/".into() };
        let host = Host { cgroups: HostCgroups { v1: vec![], v2: Some(v2) }, euid: 0, resctrl: None };
        let plan = plan::lower(&bundle, &ContainerId::new("agent").unwrap(), &host, &Choices::default()).unwrap();
        let failed = Report { phase: Phase::Seccomp, op: wire::Op::Link, index: 0, errno: libc::EIO, detail: 0 };
        for (said, expected) in [
            (&[failed.bytes()][..], "linux.seccomp: load the filter: hand-off with the launcher: Input/output error"),
            (&[], "linux.seccomp: take the seccomp listener from the init: No such process"),
        ] {
            let (link, inner) = socket::pair().unwrap();
            socket::send(&inner, &Report::reached(Phase::Seccomp, 3).bytes(), &[]).unwrap();
            said.iter().for_each(|report| assert!(socket::send(&inner, report, &[]).is_ok()));
            drop(inner);
            #[allow(clippy::zombie_processes, reason = "the launch reaps it")]
            let ended = std::process::Command::new("true").spawn().unwrap();
            let pidfd = pidfd::open(ended.id() as i32).unwrap();
            assert!(pidfd::ends_within(&pidfd, Duration::from_secs(30)).unwrap());
            let child = Child { pid: ended.id() as i32, pidfd, in_cgroup: false };
            let launch: Launch<'_, Hooked> = Launch { session: Session::new(&plan, link, child), state: PhantomData };
            let error = launch.hand_listener_over("creating", 1).err().unwrap();
            assert_eq!(format!("{error:#}"), expected);
        }
    }
}
