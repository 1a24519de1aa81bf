//! The system calls that a container takes and an old kernel, or a seccomp filter around the caller, may not offer.

use crate::error::Error;
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

const CALLS: [(&str, &str, libc::c_long, &str); 19] = [
    ("pidfd_send_signal", "5.1", libc::SYS_pidfd_send_signal, "signals that cannot reach another process"),
    ("pidfd_open", "5.3", libc::SYS_pidfd_open, "naming a process without a race"),
    ("clone3", "5.3", libc::SYS_clone3, "starting a container in its namespaces and cgroup"),
    ("openat2", "5.6", libc::SYS_openat2, "paths that cannot leave the root file system"),
    ("open_tree", "5.2", libc::SYS_open_tree, "bind mounts that are changed before they can be seen"),
    ("move_mount", "5.2", libc::SYS_move_mount, "mounts on descriptors instead of paths"),
    ("mount_setattr", "5.12", libc::SYS_mount_setattr, "attributes of whole mount trees"),
    ("close_range", "5.9", libc::SYS_close_range, "closing what the program must not inherit"),
    ("fsopen", "5.2", libc::SYS_fsopen, "file systems that are mounted on descriptors"),
    ("fsconfig", "5.2", libc::SYS_fsconfig, "options of mounts"),
    ("fsmount", "5.2", libc::SYS_fsmount, "file systems that are mounted on descriptors"),
    ("execveat", "3.19", libc::SYS_execveat, "starting the sealed init"),
    ("memfd_create", "3.17", libc::SYS_memfd_create, "the sealed init"),
    ("statx", "4.11", libc::SYS_statx, "finding out what is mounted where"),
    ("setns", "3.0", libc::SYS_setns, "entering namespaces"),
    ("pivot_root", "2.4", libc::SYS_pivot_root, "changing the root"),
    ("prlimit64", "2.6.36", libc::SYS_prlimit64, "limits of processes"),
    ("keyctl", "2.6.10", libc::SYS_keyctl, "session keyrings, unless --no-new-keyring is given"),
    ("seccomp", "3.17", libc::SYS_seccomp, "filters of system calls"),
];

/// Asks the kernel for each call. Has no effects.
pub fn kernel_calls() -> Vec<KernelCall> {
    let call = |(name, since, number, purpose)| KernelCall { name, since, purpose, present: probe::is_known(number) };
    CALLS.into_iter().map(call).collect()
}

/// Names the calls that are not there, if `error` may come of that: its errno alone does not tell which call it was.
pub(crate) fn name_missing(error: Error) -> Error {
    if error.advice().is_some() {
        return error;
    }
    let is_missing: fn(libc::c_long) -> bool = match error.errno() {
        Some(libc::ENOSYS) => |number| !probe::is_known(number),
        // A caller without privileges is refused by the kernel itself.
        Some(libc::EPERM) if nix::unistd::geteuid().is_root() => probe::is_forbidden,
        _ => return error,
    };
    let missing = CALLS.iter().filter(|(_, _, number, _)| is_missing(*number)).map(|(name, ..)| *name);
    match missing.collect::<Vec<_>>().join(", ") {
        names if names.is_empty() => error,
        names => error.hint(format!("the kernel, or a seccomp filter around the runtime, does not allow {names}")),
    }
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
