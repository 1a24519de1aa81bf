//! Which system calls the kernel has, asked of itself.

use nix::errno::Errno;

/// Whether the kernel knows the system call `number`, one of the few named in `host/calls.rs`; `false` also when a seccomp filter
/// pretends that it does not.
pub(crate) fn is_known(number: libc::c_long) -> bool {
    fails_with(number) != Errno::ENOSYS
}

/// Whether it is refused before its arguments are looked at: to a caller with all rights only a seccomp filter does that.
pub(crate) fn is_forbidden(number: libc::c_long) -> bool {
    fails_with(number) == Errno::EPERM
}

fn fails_with(number: libc::c_long) -> Errno {
    // SAFETY: every argument is -1: no address of this process, no open descriptor, no process and no valid set of flags. All calls
    // of `host/calls.rs` check one of these before they have an effect, so that each can only fail.
    let result = unsafe { libc::syscall(number, -1_i64, -1_i64, -1_i64, -1_i64, -1_i64, -1_i64) };
    Errno::result(result).err().unwrap_or(Errno::UnknownErrno)
}
