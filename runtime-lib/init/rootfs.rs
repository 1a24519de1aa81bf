//! The rootfs as a mount of its own, and then as the root.

use crate::fault::{During, Step};
use crate::mounts;
use crate::path::Root;
use crate::sys::{self, AT_FDCWD, Errno, Fd, open};
use crate::wire::{self, Op};

const MS_MOVE: u64 = 0x2000;
const MS_REC: u64 = 0x4000;
const MS_SLAVE: u64 = 1 << 19;
const MS_PRIVATE: u64 = 1 << 18;
const ATTR_RDONLY: u64 = 1;

/// Sets the propagation of all mounts, so that nothing done here reaches the host, and makes the rootfs a mount that
/// the root can become.
pub fn prepare(rootfs: &wire::Rootfs<'_>) -> Step<Root> {
    if rootfs.host_mounts {
        // Every change of a mount would be one of the host's.
        let root = sys::openat(AT_FDCWD, rootfs.path, open::PATH | open::DIRECTORY).during(Op::OpenTarget)?;
        return Ok(Root(keep(root)));
    }
    sys::mount(None, c"/", None, rootfs.propagation, None).during(Op::SetPropagation)?;
    let tree = sys::clone_tree(AT_FDCWD, rootfs.path, true).during(Op::OpenSource)?;
    if rootfs.parent_private {
        make_parent_private(rootfs).during(Op::SetPropagation)?;
    }
    let place = sys::openat(AT_FDCWD, rootfs.path, open::PATH | open::DIRECTORY).during(Op::OpenTarget)?;
    mounts::attach(&tree, &place, || {
        if !rootfs.parent_private {
            return Ok(());
        }
        // Nor may the new root itself be shared yet: a slave stays one of the mount that it is a copy of.
        let kind = if rootfs.propagation & MS_SLAVE != 0 { MS_SLAVE } else { MS_PRIVATE };
        sys::set_attributes(tree.0, 0, 0, kind, false).during(Op::SetPropagation)
    })?;
    Ok(Root(keep(tree)))
}

/// `pivot_root(2)` refuses a new root whose parent mount is shared. The parent is the mount that holds the rootfs; its
/// own root is found by going up until the mount changes.
fn make_parent_private(rootfs: &wire::Rootfs<'_>) -> sys::Result {
    let mut here = sys::openat(AT_FDCWD, rootfs.path, open::PATH | open::DIRECTORY)?;
    let start = sys::stat(here.0)?;
    let mut last = start;
    loop {
        let above = sys::openat(here.0, c"..", open::PATH | open::DIRECTORY)?;
        let stat = sys::stat(above.0)?;
        let at_top = stat.ino == last.ino && stat.mount == last.mount;
        if stat.mount != start.mount || at_top {
            return sys::set_attributes(here.0, 0, 0, MS_PRIVATE, false);
        }
        (here, last) = (above, stat);
    }
}

/// Makes the rootfs the root. The old root is reachable by nothing afterwards.
pub fn pivot(root: Root, rootfs: &wire::Rootfs<'_>) -> Step {
    sys::fchdir(root.0).during(Op::Whole)?;
    if rootfs.host_mounts {
        return sys::chroot(c".").during(Op::Whole);
    }
    if rootfs.no_pivot { move_to_root()? } else { pivot_root()? }
    if rootfs.own_propagation != 0 {
        // Only now: pivot_root(2) refuses shared mounts.
        let (kind, recursive) = (rootfs.own_propagation & !MS_REC, rootfs.own_propagation & MS_REC != 0);
        sys::set_attributes(root.0, 0, 0, kind, recursive).during(Op::SetPropagation)?;
    }
    Ok(())
}

fn pivot_root() -> Step {
    let old = sys::openat(AT_FDCWD, c"/", open::PATH | open::DIRECTORY).during(Op::Whole)?;
    // Both roots at one place: no directory for the old one is needed in the rootfs, which may be read-only.
    sys::pivot_root(c".", c".").during(Op::Whole)?;
    sys::fchdir(old.0).during(Op::Detach)?;
    // Or the unmounting below would reach the host where the tree is shared.
    sys::mount(None, c".", None, MS_SLAVE | MS_REC, None).during(Op::Detach)?;
    sys::detach(c".").during(Op::Detach)?;
    sys::chdir(c"/").during(Op::Whole)
}

/// `--no-pivot`: the rootfs is moved over `/`. The host's mounts stay below it, so its /proc and /sys are taken away
/// first: through them a container with CAP_SYS_ADMIN could mount full instances of its own.
fn move_to_root() -> Step {
    // What is shared with the host would be changed there as well.
    sys::mount(None, c"/", None, MS_PRIVATE, None).during(Op::SetPropagation)?;
    for path in [c"/proc", c"/sys"] {
        match sys::mount(None, path, None, MS_SLAVE | MS_REC, None).and_then(|()| sys::detach(path)) {
            Ok(()) | Err(Errno::EINVAL | Errno::ENOENT) => {}
            // Locked together with its parent in a user namespace: cover it.
            Err(Errno::EPERM) => {
                sys::mount(Some(c"tmpfs"), path, Some(c"tmpfs"), 0, None).during(Op::Detach)?;
            }
            Err(errno) => return Err(errno).during(Op::Detach),
        }
    }
    sys::mount(Some(c"."), c"/", None, MS_MOVE, None).during(Op::Whole)?;
    sys::chroot(c".").during(Op::Whole)?;
    sys::chdir(c"/").during(Op::Whole)
}

/// `root.readonly`.
pub fn make_readonly(root: Root, rootfs: &wire::Rootfs<'_>) -> Step {
    if rootfs.readonly {
        sys::set_attributes(root.0, ATTR_RDONLY, 0, 0, false).during(Op::SetAttributes)?;
    }
    Ok(())
}

/// Keeps `fd` open until the program runs.
pub fn keep(fd: Fd) -> sys::RawFd {
    core::mem::ManuallyDrop::new(fd).0
}
