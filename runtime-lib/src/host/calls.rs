//! The system calls that a container takes and an old kernel, or a seccomp filter around the caller, may not offer.

use crate::sys::probe;

/// A system call, and whether it is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KernelCall {
    /// Its name in the manual.
    pub name: &'static str,
    /// The kernel that brought it.
    pub since: &'static str,
    /// What it is used for.
    pub purpose: &'static str,
    /// Whether the kernel answers to it now.
    pub present: bool,
}

const CALLS: [(&str, &str, libc::c_long, &str); 8] = [
    ("pidfd_send_signal", "5.1", libc::SYS_pidfd_send_signal, "signals that cannot reach another process"),
    ("pidfd_open", "5.3", libc::SYS_pidfd_open, "naming a process without a race"),
    ("clone3", "5.3", libc::SYS_clone3, "starting a container in its namespaces and cgroup"),
    ("openat2", "5.6", libc::SYS_openat2, "paths that cannot leave the root file system"),
    ("open_tree", "5.2", libc::SYS_open_tree, "bind mounts that are changed before they can be seen"),
    ("move_mount", "5.2", libc::SYS_move_mount, "mounts on descriptors instead of paths"),
    ("mount_setattr", "5.12", libc::SYS_mount_setattr, "attributes of whole mount trees"),
    ("close_range", "5.9", libc::SYS_close_range, "closing what the program must not inherit"),
];

/// Asks the kernel for each call. Has no effects.
pub fn kernel_calls() -> Vec<KernelCall> {
    let call = |(name, since, number, purpose)| KernelCall { name, since, purpose, present: probe::is_known(number) };
    CALLS.into_iter().map(call).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_that_no_kernel_has_is_not_known() {
        assert!(!probe::is_known(100_000));
        assert!(probe::is_known(libc::SYS_pidfd_open));
    }
}
