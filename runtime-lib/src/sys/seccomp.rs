//! What this kernel's `seccomp(2)` knows.

use nix::errno::Errno;

const SECCOMP_SET_MODE_FILTER: libc::c_uint = 1;

/// Whether the kernel knows a flag of `SECCOMP_SET_MODE_FILTER`. It looks at the flags before the program: with a null
/// pointer for that, nothing is loaded, and the error tells.
pub(crate) fn knows_flag(flag: u32) -> bool {
    let program: *const libc::c_void = std::ptr::null();
    // SAFETY: the kernel checks the pointer it reads the program through; a null one gives EFAULT and has no effect.
    let result = Errno::result(unsafe { libc::syscall(libc::SYS_seccomp, SECCOMP_SET_MODE_FILTER, flag, program) });
    result == Err(Errno::EFAULT)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flag_that_no_kernel_has_is_unknown() {
        assert!(knows_flag(1));
        assert!(!knows_flag(1 << 31));
    }
}
