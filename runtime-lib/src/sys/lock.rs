//! Locks of open files, see `flock(2)`: the kernel releases one when its holder dies.
//!
//! nix's `Flock` panics when it cannot unlock.

use nix::errno::Errno;
use std::os::fd::{AsRawFd, OwnedFd};

/// Waits for the lock; held until it is [released](release) or every descriptor of the open file is closed.
pub(crate) fn exclusive(file: &OwnedFd) -> Result<(), Errno> {
    loop {
        match flock(file, libc::LOCK_EX) {
            Err(Errno::EINTR) => {}
            result => return result,
        }
    }
}

/// Takes the lock if nobody has it.
///
/// # Errors
/// `EWOULDBLOCK`.
pub(crate) fn try_exclusive(file: &OwnedFd) -> Result<(), Errno> {
    flock(file, libc::LOCK_EX | libc::LOCK_NB)
}

/// Gives the lock back. That fails only for a descriptor that is none.
pub(crate) fn release(file: &OwnedFd) {
    let _ = flock(file, libc::LOCK_UN);
}

fn flock(file: &OwnedFd, operation: libc::c_int) -> Result<(), Errno> {
    // SAFETY: the call has no memory effects, and the descriptor is open while it is borrowed.
    Errno::result(unsafe { libc::flock(file.as_raw_fd(), operation) }).map(drop)
}
