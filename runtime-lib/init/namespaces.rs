//! Namespaces that exist are joined; those that only a child can enter are entered by forking.

use crate::fault::{During, Fault, OfElement, Step};
use crate::link::Link;
use crate::sys;
use crate::wire::{self, Op, Phase, word};

const CLONE_PARENT: u64 = 0x8000;
const CLONE_NEWCGROUP: u64 = 0x0200_0000;

/// Joins the namespaces in order: the user namespace comes first, it gives the right to the others.
pub fn join(namespaces: &wire::Namespaces<'_>, link: &Link) -> Step {
    for (place, index) in namespaces.join.iter().enumerate() {
        sys::setns(link.fd(index)?).during(Op::Whole).of(place)?;
    }
    match namespaces.of {
        // In one call: a process of the container never sees us in some of its namespaces only.
        Some(process) => sys::setns_of(link.fd(process)?, namespaces.of_kinds).during(Op::Whole).of(usize::MAX),
        None => Ok(()),
    }
}

/// Forks if a namespace asks for it. The child is a child of the launcher too (`CLONE_PARENT`); the parent tells its
/// pid and is done.
pub fn fork(namespaces: &wire::Namespaces<'_>, link: &Link) -> Step {
    let Some(flags) = namespaces.fork else { return Ok(()) };
    match sys::fork(flags | CLONE_PARENT, 0).during(Op::Fork)? {
        0 => Ok(()),
        pid => {
            link.say(Phase::Fork, i64::from(pid))?;
            sys::exit(0)
        }
    }
}

/// Becomes root of the user namespace, once its ids are mapped.
pub fn become_root(namespaces: &wire::Namespaces<'_>, link: &Link) -> Step {
    if namespaces.mapped {
        link.hear(word::MAPPED)?;
    }
    if namespaces.become_root {
        sys::setgid(0).during(Op::Gid)?;
        sys::setuid(0).during(Op::Uid)?;
    }
    Ok(())
}

/// The cgroup namespace's root is the cgroup of the process that makes it, so it comes after joining the cgroup.
pub fn enter_cgroup(namespaces: &wire::Namespaces<'_>, link: &Link) -> Step {
    if namespaces.cgroup_wait {
        link.hear(word::CGROUP_JOINED)?;
    }
    if namespaces.cgroup {
        sys::unshare(CLONE_NEWCGROUP).during(Op::Whole)?;
    }
    Ok(())
}

/// A new session keyring, so that the container has none of the caller's keys.
pub fn new_keyring(name: &core::ffi::CStr) -> Step {
    match sys::join_session_keyring(name) {
        // A kernel without keyrings has nothing to keep apart.
        Err(sys::Errno::ENOSYS) => Ok(()),
        Ok(key) => {
            // All to the possessor; to other processes of the same user all but writing and changing it, as runc has it.
            let _ = sys::set_key_permissions(key, 0x3f1b_0000);
            Ok(())
        }
        Err(errno) => Err(Fault::new(Op::Whole, errno)),
    }
}
