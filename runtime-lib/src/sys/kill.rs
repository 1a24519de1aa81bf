//! Signals by number.

use nix::errno::Errno;

/// `kill(2)` of every process in the group that `leader` made, see `setpgid(2)`.
///
/// # Errors
/// `EINVAL` for a leader that would mean more than a group, `ESRCH`, `EPERM`.
pub(crate) fn kill_group(leader: i32, signal: i32) -> Result<(), Errno> {
    if leader <= 1 {
        return Err(Errno::EINVAL);
    }
    // SAFETY: kill has no memory effects; that the number names one group was checked above.
    Errno::result(unsafe { libc::kill(-leader, signal) }).map(drop)
}

/// `kill(2)`: sends `signal` to the one process `pid`, which must be positive.
///
/// # Errors
/// `EINVAL` for a pid that would mean a group or an unknown signal, `ESRCH`, `EPERM`.
pub(crate) fn kill(pid: i32, signal: i32) -> Result<(), Errno> {
    if pid <= 0 {
        return Err(Errno::EINVAL);
    }
    // SAFETY: kill has no memory effects; that `pid` names one process was checked above.
    Errno::result(unsafe { libc::kill(pid, signal) }).map(drop)
}
