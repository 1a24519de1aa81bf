//! Questions about namespaces.

use nix::errno::Errno;
use std::os::fd::{AsRawFd, BorrowedFd};

/// `NS_GET_NSTYPE` of `ioctl_ns(2)`: the `CLONE_NEW*` flag of the namespace behind `fd`, `ENOTTY` if it is none.
pub(crate) fn kind(fd: BorrowedFd<'_>) -> Result<u64, Errno> {
    const NS_GET_NSTYPE: libc::c_ulong = 0xb703;
    // SAFETY: this request takes no argument and touches no memory.
    let flag = Errno::result(unsafe { libc::ioctl(fd.as_raw_fd(), NS_GET_NSTYPE as _) })?;
    Ok(u64::from(flag.unsigned_abs()))
}
