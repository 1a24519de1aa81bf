//! Namespaces that exist are joined; those that only a child can enter are entered by forking.

use crate::fault::{During, Fault, OfElement, Step};
use crate::link::Link;
use crate::sys::{self, AT_FDCWD, Fd, open};
use crate::wire::{self, Op, Phase, word};

const CLONE_PARENT: u64 = 0x8000;
const CLONE_NEWTIME: u64 = 0x80;
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
    match namespaces.fork {
        Some(flags) => fork_with(flags, link, Phase::Fork, false),
        None => Ok(()),
    }
}

/// With `wait` the child goes on once the launcher knows it.
fn fork_with(flags: u64, link: &Link, phase: Phase, wait: bool) -> Step {
    match sys::fork(flags | CLONE_PARENT, 0).during(Op::Fork)? {
        0 if wait => link.hear(word::FOLLOWED),
        0 => Ok(()),
        pid => {
            link.say(phase, i64::from(pid))?;
            sys::exit(0)
        }
    }
}

/// Becomes root of the user namespace, once its ids are mapped. Where 0 is not, this is another user: the capabilities, which
/// whoever enters a user namespace has in it, stay with an id that is not 0, and files get an owner that exists.
pub fn become_root(namespaces: &wire::Namespaces<'_>, link: &Link) -> Step {
    if namespaces.mapped {
        link.hear(word::MAPPED)?;
    }
    if namespaces.become_root {
        sys::setgid(namespaces.root_gid).during(Op::Gid)?;
        sys::setuid(namespaces.root_uid).during(Op::Uid)?;
    }
    if namespaces.late != 0 {
        // An ipc namespace comes with the file system of message queues: of ids that are not mapped it could not be used.
        sys::unshare(namespaces.late).during(Op::Whole)?;
    }
    Ok(())
}

/// Opens the file of the clocks' offsets of this process, if there are any to write. The kernel asks whether the opener has
/// CAP_SYS_TIME in the new namespace, and for the file's owner: so it is opened before this process joins or becomes
/// somebody whom the host's files do not belong to.
pub fn open_offsets(namespaces: &wire::Namespaces<'_>) -> Step<Option<Fd>> {
    match &namespaces.time {
        Some(time) if !time.offsets.is_empty() => {
            sys::openat(AT_FDCWD, c"/proc/self/timens_offsets", open::WRONLY).during(Op::OpenTarget).map(Some)
        }
        _ => Ok(None),
    }
}

/// Makes a time namespace, sets its clocks while nobody is in it, and forks into it.
pub fn enter_time(namespaces: &wire::Namespaces<'_>, offsets: Option<Fd>, link: &Link) -> Step {
    let Some(time) = &namespaces.time else { return Ok(()) };
    sys::unshare(CLONE_NEWTIME).during(Op::Whole)?;
    if let Some(file) = offsets {
        sys::write(file.0, time.offsets).during(Op::Write)?;
    }
    fork_with(time.flags, link, Phase::TimeOffsets, true)
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
