//! Waiting for a container's first process.

use crate::error::{Error, ErrorKind, Result};
use crate::sys::{pidfd, pipe};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use std::os::fd::{AsFd, OwnedFd};

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
}

/// Waits until nobody has the FIFO open for reading: the init has executed the program, or ended.
pub(super) fn wait_until_unread(fifo: &OwnedFd) -> Result<()> {
    loop {
        let mut polled = [PollFd::new(fifo.as_fd(), PollFlags::empty())];
        match poll(&mut polled, PollTimeout::NONE) {
            Ok(_) => return Ok(()),
            Err(nix::errno::Errno::EINTR) => {}
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
        Ok(()) | Err(nix::errno::Errno::ESRCH) => {}
        Err(errno) => return Err(Error::os("kill the container", errno)),
    }
    let ended = poll(&mut [PollFd::new(pidfd.as_fd(), PollFlags::POLLIN)], PollTimeout::from(10_000u16));
    match ended {
        // That of a pid namespace ends only when all others are reaped, those too that were added and have a parent outside:
        // zap_pid_ns_processes() in the kernel.
        Ok(0) => Err(Error::new(ErrorKind::Os, "the container's first process does not end")
            .hint("what was added by exec and has ended must be reaped by its parent first")),
        _ => Ok(()),
    }
}
