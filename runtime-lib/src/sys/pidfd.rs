//! Processes by descriptor, see `pidfd_open(2)`.

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd};
use std::time::{Duration, Instant};

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

/// A longer wait is cut into these.
const LONGEST_WAIT: Duration = Duration::from_secs(60);

/// Whether the process ends within `patience`; it may not be reaped yet then. Signals do not cut the wait short.
///
/// # Errors
/// Those of `poll(2)`.
pub(crate) fn ends_within(pidfd: impl AsFd, patience: Duration) -> Result<bool, Errno> {
    let deadline = Instant::now().checked_add(patience);
    let left = || deadline.map_or(LONGEST_WAIT, |deadline| deadline.saturating_duration_since(Instant::now()));
    loop {
        // Rounded up, or the last millisecond would be spent spinning.
        let timeout = left().min(LONGEST_WAIT).as_nanos().div_ceil(1_000_000);
        let timeout = PollTimeout::try_from(timeout).unwrap_or(PollTimeout::MAX);
        match poll(&mut [PollFd::new(pidfd.as_fd(), PollFlags::POLLIN)], timeout) {
            Ok(0) if left().is_zero() => return Ok(false),
            Ok(0) | Err(Errno::EINTR) => {}
            Ok(_) => return Ok(true),
            Err(errno) => return Err(errno),
        }
    }
}

/// Whether the process has ended; it may not be reaped yet.
pub(crate) fn has_ended(pidfd: impl AsFd) -> bool {
    matches!(poll(&mut [PollFd::new(pidfd.as_fd(), PollFlags::POLLIN)], PollTimeout::ZERO), Ok(1..))
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
    loop {
        if let Some(ended) = reap(pidfd, libc::WEXITED)? {
            return Ok(ended);
        }
    }
}

/// As [`wait`], for as long as `patience` at most; nothing if the child has not ended then.
pub(crate) fn wait_within(pidfd: &OwnedFd, patience: Duration) -> Result<Option<Ended>, Errno> {
    let ask = || reap(pidfd, libc::WEXITED | libc::WNOHANG);
    // Asked first, so that what is not a child is told at once.
    match ask()? {
        None if !patience.is_zero() && ends_within(pidfd, patience)? => ask(),
        ended => Ok(ended),
    }
}

/// `waitid(2)`; nothing if the child has not ended. nix's fails for a child that a real-time signal has ended.
fn reap(pidfd: &OwnedFd, flags: libc::c_int) -> Result<Option<Ended>, Errno> {
    let mut info = std::mem::MaybeUninit::<libc::siginfo_t>::zeroed();
    let id = pidfd.as_raw_fd().unsigned_abs();
    loop {
        // SAFETY: waitid writes one siginfo_t through the pointer, which is to a live local of that type.
        let result = unsafe { libc::waitid(libc::P_PIDFD, id, info.as_mut_ptr(), flags) };
        match Errno::result(result) {
            Err(Errno::EINTR) => {}
            Err(errno) => return Err(errno),
            Ok(_) => break,
        }
    }
    // SAFETY: siginfo_t is plain data, for which all-zero bytes are a value; it was zeroed above, so it is readable also
    // where the kernel, finding that the child has not ended, has written nothing.
    let (pid, code, status) = unsafe {
        let info = info.assume_init();
        (info.si_pid(), info.si_code, info.si_status())
    };
    Ok((pid != 0).then_some(if code == libc::CLD_EXITED { Ended::Exited(status) } else { Ended::Signaled(status) }))
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

#[cfg(test)]
mod tests {
    use super::*;
    use nix::sys::signal::{SaFlags, SigAction, SigHandler, SigSet, Signal, sigaction};
    use std::process::Command;

    extern "C" fn nothing(_: libc::c_int) {}

    /// As `poll(2)` is, by a handler even with `SA_RESTART`.
    #[test]
    #[allow(clippy::zombie_processes, reason = "it is reaped through its pidfd")]
    fn signals_do_not_end_a_wait_early() {
        let action = SigAction::new(SigHandler::Handler(nothing), SaFlags::SA_RESTART, SigSet::empty());
        // SAFETY: the handler does nothing.
        unsafe { sigaction(Signal::SIGWINCH, &action) }.unwrap();
        let mut child = Command::new("/bin/sleep").arg("1000").spawn().unwrap();
        let pidfd = open(child.id() as i32).unwrap();
        // SAFETY: has no memory effects.
        let waiter = unsafe { libc::pthread_self() };
        let (stop, stopped) = std::sync::mpsc::channel::<()>();
        let disturber = std::thread::spawn(move || {
            while let Err(std::sync::mpsc::RecvTimeoutError::Timeout) = stopped.recv_timeout(Duration::from_millis(1)) {
                // SAFETY: the thread waits for this one to end.
                assert_eq!(unsafe { libc::pthread_kill(waiter, libc::SIGWINCH) }, 0);
            }
        });
        let begin = Instant::now();
        assert_eq!(ends_within(&pidfd, Duration::from_millis(200)), Ok(false));
        assert!(begin.elapsed() >= Duration::from_millis(200));
        assert!(wait_within(&pidfd, Duration::from_millis(200)).unwrap().is_none());
        assert!(begin.elapsed() >= Duration::from_millis(400));
        child.kill().unwrap();
        assert_eq!(ends_within(&pidfd, Duration::from_secs(60)), Ok(true));
        drop(stop);
        disturber.join().unwrap();
        assert!(matches!(wait_within(&pidfd, Duration::ZERO), Ok(Some(Ended::Signaled(libc::SIGKILL)))));
        assert!(matches!(wait_within(&pidfd, Duration::from_secs(60)), Err(Errno::ECHILD)));
    }
}
