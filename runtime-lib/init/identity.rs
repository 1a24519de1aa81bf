//! Who the program is: capabilities, user, groups, privileges.

use crate::fault::{During, Fault, OfElement, Step};
use crate::sys::{self, Errno};
use crate::wire::{List, Op, Program, Rlimit, Security};

const PR_SET_KEEPCAPS: usize = 8;
const PR_CAPBSET_DROP: usize = 24;
const CAP_SETGID: usize = 6;
/// Since Linux 5.9.
const CAP_CHECKPOINT_RESTORE: usize = 40;
const PR_SET_NO_NEW_PRIVS: usize = 38;
const PR_CAP_AMBIENT: usize = 47;
const PR_CAP_AMBIENT_RAISE: usize = 2;
const PR_CAP_AMBIENT_CLEAR_ALL: usize = 4;

/// `process.rlimits`.
pub fn set_limits(rlimits: List<'_, Rlimit>) -> Step {
    for (place, limit) in rlimits.iter().enumerate() {
        sys::set_limit(limit.resource, limit.soft, limit.hard).during(Op::Whole).of(place)?;
    }
    Ok(())
}

/// Drops what is not in the bounding set. Needs CAP_SETPCAP, so it comes before the user changes.
pub fn drop_bounding(security: &Security<'_>) -> Step {
    for capability in 0..64usize {
        if security.bounding & (1 << capability) != 0 {
            continue;
        }
        match sys::prctl(PR_CAPBSET_DROP, capability, 0) {
            Ok(_) => {}
            // Above the last capability of this kernel; every kernel that corten runs on knows those up to this one.
            Err(Errno::EINVAL) if capability > CAP_CHECKPOINT_RESTORE => break,
            Err(errno) => return Err(Fault { index: capability as u32, ..Fault::new(Op::Bounding, errno) }),
        }
    }
    Ok(())
}

/// Becomes the user, keeping the capabilities for [`set_capabilities`].
pub fn become_user(program: &Program<'_>) -> Step {
    sys::prctl(PR_SET_KEEPCAPS, 1, 0).during(Op::Whole)?;
    if program.set_groups {
        let groups = sys::memory(program.groups.len().max(1) * 4).during(Op::Groups)?;
        for (place, group) in groups.chunks_exact_mut(4).zip(program.groups.iter()) {
            place.copy_from_slice(&group.to_ne_bytes());
        }
        match sys::setgroups(groups.get(..program.groups.len() * 4).unwrap_or_default()) {
            Err(Errno::EPERM) if program.groups.is_empty() && groups_may_stay() => {}
            set => set.during(Op::Groups)?,
        }
    }
    sys::setgid(program.gid).during(Op::Gid)?;
    sys::setuid(program.uid).during(Op::Uid)?;
    sys::prctl(PR_SET_KEEPCAPS, 0, 0).during(Op::Whole).map(drop)
}

/// Whether the program may have the groups that it has, after `setgroups(2)` was refused: there are none, or a user namespace further
/// out denies it, user_namespaces(7), which is the reason when the capability is not. Without the capability they would be the caller's.
fn groups_may_stay() -> bool {
    sys::group_count() == Ok(0) || sys::effective_capabilities().is_ok_and(|held| held & (1 << CAP_SETGID) != 0)
}

/// Sets the effective, permitted, inheritable and ambient sets, exactly: what the runtime had must not stay inheritable
/// (CVE-2022-29162).
pub fn set_capabilities(security: &Security<'_>) -> Step {
    sys::capset(security.effective, security.permitted, security.inheritable).during(Op::Whole)?;
    sys::prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0).during(Op::Ambient)?;
    for capability in 0..64usize {
        if security.ambient & (1 << capability) != 0 {
            sys::prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, capability)
                .during(Op::Ambient)
                .map_err(|fault| Fault { index: capability as u32, ..fault })?;
        }
    }
    Ok(())
}

/// `process.noNewPrivileges`.
pub fn no_new_privileges() -> Step {
    sys::prctl(PR_SET_NO_NEW_PRIVS, 1, 0).during(Op::Whole).map(drop)
}

/// Pipes and sockets as stdio are given to the user, so that the program can open /dev/stdout again. Nothing else is:
/// a file that the caller redirected output to is the caller's.
pub fn give_stdio(uid: u32) -> Step {
    const S_IFIFO: u32 = 0o010000;
    const S_IFSOCK: u32 = 0o140000;
    if uid == 0 {
        return Ok(());
    }
    for stdio in 0..3 {
        let Ok(stat) = sys::stat(stdio) else { continue };
        if stat.uid != uid && matches!(stat.kind(), S_IFIFO | S_IFSOCK) {
            match sys::fchown(stdio, uid, u32::MAX) {
                // Not ours to give in a user namespace, or on a read-only file system.
                Ok(()) | Err(Errno::EPERM | Errno::EINVAL | Errno::EROFS) => {}
                Err(errno) => return Err(errno).during(Op::Chown),
            }
        }
    }
    Ok(())
}
