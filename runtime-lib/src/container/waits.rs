//! Waiting for a container's first process.

use crate::error::{Error, ErrorKind, Result};
use crate::sys::{pidfd, pipe};
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use std::fmt;
use std::os::fd::{AsFd, OwnedFd};
use std::time::Duration;

/// How the program ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ExitStatus {
    /// It returned this code.
    Exited(i32),
    /// This signal ended it.
    Signaled(i32),
}

impl ExitStatus {
    /// The code as shells give it: the program's own, or 128 + the signal's number.
    pub fn code(self) -> i32 {
        match self {
            ExitStatus::Exited(code) => code,
            ExitStatus::Signaled(signal) => 128 + signal,
        }
    }

    /// Whether it returned 0.
    pub fn success(self) -> bool {
        self == ExitStatus::Exited(0)
    }
}

impl fmt::Display for ExitStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ExitStatus::Exited(code) => write!(f, "exit code {code}"),
            ExitStatus::Signaled(signal) => write!(f, "killed by signal {signal}"),
        }
    }
}

impl From<pidfd::Ended> for ExitStatus {
    fn from(ended: pidfd::Ended) -> ExitStatus {
        match ended {
            pidfd::Ended::Exited(code) => ExitStatus::Exited(code),
            pidfd::Ended::Signaled(signal) => ExitStatus::Signaled(signal),
        }
    }
}

/// How a child has ended, once it was waited for: the kernel tells that once.
#[derive(Debug, Default)]
pub(super) struct Ending(Option<ExitStatus>);

impl Ending {
    pub(super) fn is_known(&self) -> bool {
        self.0.is_some()
    }

    pub(super) fn wait(&mut self, child: &OwnedFd) -> Result<ExitStatus> {
        match self.0 {
            Some(status) => Ok(status),
            None => Ok(*self.0.insert(pidfd::wait(child).map_err(not_waited)?.into())),
        }
    }

    pub(super) fn wait_timeout(&mut self, child: &OwnedFd, timeout: Duration) -> Result<Option<ExitStatus>> {
        if self.0.is_none() {
            self.0 = pidfd::wait_within(child, timeout).map_err(not_waited)?.map(ExitStatus::from);
        }
        Ok(self.0)
    }
}

/// The error of a wait.
pub(super) fn not_waited(errno: Errno) -> Error {
    let error = Error::os("wait for the process", errno);
    match errno {
        Errno::ECHILD => error.hint("only the process that made it can, and once; Container::events tells others"),
        _ => error,
    }
}

/// The error of a signal.
pub(super) fn not_sent(signal: i32, errno: Errno) -> Error {
    match errno {
        Errno::EINVAL => Error::new(ErrorKind::InvalidArgument, format!("there is no signal {signal}")),
        errno => Error::os(format!("send signal {signal}"), errno),
    }
}

/// Waits until nobody has the FIFO open for reading: the init has executed the program, or ended.
pub(super) fn wait_until_unread(fifo: &OwnedFd) -> Result<()> {
    loop {
        let mut polled = [PollFd::new(fifo.as_fd(), PollFlags::empty())];
        match poll(&mut polled, PollTimeout::NONE) {
            Ok(_) => return Ok(()),
            Err(Errno::EINTR) => {}
            Err(errno) => return Err(Error::os("wait for the program", errno)),
        }
    }
}

/// The init must have taken the word that starts it: one that was killed before it did has run nothing.
pub(super) fn must_be_read(fifo: &OwnedFd) -> Result<()> {
    match pipe::has_unread(fifo.as_fd()).map_err(|errno| Error::os("tell the init to start", errno))? {
        true => Err(Error::new(ErrorKind::WrongStatus, "cannot start the container: its first process has ended")),
        false => Ok(()),
    }
}

/// Kills the process and waits until it has ended. Bounded: a process in uninterruptible sleep must not hang us.
pub(super) fn end(pidfd: &OwnedFd) -> Result<()> {
    match pidfd::signal(pidfd, libc::SIGKILL) {
        Ok(()) | Err(Errno::ESRCH) => {}
        Err(errno) => return Err(Error::os("kill the container", errno)),
    }
    match pidfd::ends_within(pidfd, Duration::from_secs(10)) {
        Ok(true) => Ok(()),
        // That of a pid namespace ends only when all others are reaped, those too that were added and have a parent outside:
        // zap_pid_ns_processes() in the kernel.
        Ok(false) => Err(Error::new(ErrorKind::Os, "the container's first process does not end")
            .hint("what was added by exec and has ended must be reaped by its parent first")),
        Err(errno) => Err(Error::os("wait for the container's end", errno)),
    }
}
