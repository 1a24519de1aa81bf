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

/// `pidfd_getfd(2)`: a copy of the descriptor that has the number `fd` in the process.
pub(crate) fn take_fd(pidfd: &OwnedFd, fd: i32) -> Result<OwnedFd, Errno> {
    // SAFETY: the call has no memory effects.
    let copy = Errno::result(unsafe { libc::syscall(libc::SYS_pidfd_getfd, pidfd.as_raw_fd(), fd, 0) })?;
    // SAFETY: the kernel just made this descriptor; descriptors fit in i32.
    Ok(unsafe { OwnedFd::from_raw_fd(copy as i32) })
}

/// Whether the process ends within so many milliseconds (it may not be reaped yet).
pub(crate) fn ends_within(pidfd: &OwnedFd, milliseconds: u16) -> bool {
    use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
    matches!(poll(&mut [PollFd::new(pidfd.as_fd(), PollFlags::POLLIN)], PollTimeout::from(milliseconds)), Ok(1))
}

/// How a child ended.
pub(crate) enum Ended {
    /// With this code.
    Exited(i32),
    /// By this signal.
    Signaled(i32),
}

/// Waits for a child and reaps it. nix's `waitid` fails for a child that a real-time signal has ended.
pub(crate) fn wait(pidfd: &OwnedFd) -> Result<Ended, Errno> {
    let mut info = std::mem::MaybeUninit::<libc::siginfo_t>::zeroed();
    let id = pidfd.as_raw_fd().unsigned_abs();
    loop {
        // SAFETY: waitid writes one siginfo_t through the pointer, which is to a live local of that type.
        let result = unsafe { libc::waitid(libc::P_PIDFD, id, info.as_mut_ptr(), libc::WEXITED) };
        match Errno::result(result) {
            Err(Errno::EINTR) => {}
            Err(errno) => return Err(errno),
            Ok(_) => break,
        }
    }
    // SAFETY: plain data, zeroed and then written by the kernel for a child's end, which has a status.
    let (code, status) = unsafe {
        let info = info.assume_init();
        (info.si_code, info.si_status())
    };
    Ok(if code == libc::CLD_EXITED { Ended::Exited(status) } else { Ended::Signaled(status) })
}

/// `prlimit(2)`: sets a limit of the process `pid`.
pub(crate) fn set_limit(pid: i32, resource: u32, soft: u64, hard: u64) -> Result<(), Errno> {
    let limit = libc::rlimit64 { rlim_cur: soft, rlim_max: hard };
    // SAFETY: `limit` lives during the call, and no old limit is asked for.
    Errno::result(unsafe { libc::prlimit64(pid, resource as _, &limit, std::ptr::null_mut()) }).map(drop)
}

/// `sched_setaffinity(2)` of the process `pid`; one bit for each processor.
pub(crate) fn set_affinity(pid: i32, mask: &[u64]) -> Result<(), Errno> {
    // SAFETY: the kernel reads as many bytes as are stated, which are those of the slice.
    let result = unsafe { libc::sched_setaffinity(pid, size_of_val(mask), mask.as_ptr().cast()) };
    Errno::result(result).map(drop)
}
