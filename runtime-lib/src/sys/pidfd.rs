//! Processes by descriptor, see `pidfd_open(2)`.

use nix::errno::Errno;
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd};

/// `pidfd_open(2)`.
pub(crate) fn open(pid: i32) -> Result<OwnedFd, Errno> {
    // SAFETY: the call has no memory effects.
    let fd = Errno::result(unsafe { libc::syscall(libc::SYS_pidfd_open, pid, 0) })?;
    // SAFETY: the kernel just made this descriptor; descriptors fit in i32.
    Ok(unsafe { OwnedFd::from_raw_fd(fd as i32) })
}

/// `pidfd_send_signal(2)`.
pub(crate) fn signal(pidfd: &OwnedFd, signal: i32) -> Result<(), Errno> {
    let info: *const libc::siginfo_t = std::ptr::null();
    // SAFETY: a null siginfo is allowed; the call has no memory effects.
    Errno::result(unsafe { libc::syscall(libc::SYS_pidfd_send_signal, pidfd.as_raw_fd(), signal, info, 0) }).map(drop)
}

/// Whether the process has ended (it may not be reaped yet).
pub(crate) fn has_ended(pidfd: &OwnedFd) -> Result<bool, Errno> {
    use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
    let mut polled = [PollFd::new(pidfd.as_fd(), PollFlags::POLLIN)];
    poll(&mut polled, PollTimeout::ZERO).map(|ready| ready > 0)
}

/// How a child ended.
pub(crate) enum Ended {
    /// With this code.
    Exited(i32),
    /// By this signal.
    Signaled(i32),
}

/// Waits for a child and reaps it.
pub(crate) fn wait(pidfd: &OwnedFd) -> Result<Ended, Errno> {
    use nix::sys::wait::{Id, WaitPidFlag, WaitStatus, waitid};
    loop {
        match waitid(Id::PIDFd(pidfd.as_fd()), WaitPidFlag::WEXITED) {
            Ok(WaitStatus::Exited(_, code)) => return Ok(Ended::Exited(code)),
            Ok(WaitStatus::Signaled(_, signal, _)) => return Ok(Ended::Signaled(signal as i32)),
            Ok(_) | Err(Errno::EINTR) => {}
            Err(errno) => return Err(errno),
        }
    }
}

/// `prlimit(2)`: sets a limit of the process `pid`.
pub(crate) fn set_limit(pid: i32, resource: u32, soft: u64, hard: u64) -> Result<(), Errno> {
    let limit = libc::rlimit64 { rlim_cur: soft, rlim_max: hard };
    // SAFETY: `limit` lives during the call, and no old limit is asked for.
    Errno::result(unsafe { libc::prlimit64(pid, resource as _, &limit, std::ptr::null_mut()) }).map(drop)
}
