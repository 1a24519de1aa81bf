//! Resource limits by number: nix knows them by name only.

use nix::errno::Errno;

/// `prlimit(2)`: the caller's own hard limit of `resource`, in the resource's unit; `u64::MAX` is none.
pub(crate) fn hard(resource: u32) -> Result<u64, Errno> {
    let mut limit = libc::rlimit64 { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: no new limit is given, and the old one is written to a live local of that type.
    Errno::result(unsafe { libc::prlimit64(0, resource as _, std::ptr::null(), &raw mut limit) })?;
    Ok(limit.rlim_max)
}
