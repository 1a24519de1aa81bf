//! Sources of binds that the root of the container's user namespace cannot walk to.
//!
//! Engines keep what they mount into containers in directories for the host's root alone (Podman: `/run/containers`, 0700).
//! The init, which makes the container's mounts, is root of the container's user namespace, and that is another one. So
//! the launcher copies these mounts, detached, and the init attaches them, as it does with id-mapped ones.
//!
//! A mount that is copied in the host's namespaces has no locked flags (`mount_namespaces(7)`): the container's root could make it
//! writable. What is read-only on the host is therefore left to the init, with the error that it may give.

use super::orders;
use crate::plan::{MountAction, MountStep, Plan};
use crate::spec::NamespaceKind;
use crate::sys::mount;
use nix::sys::statvfs::{FsFlags, fstatvfs};
use std::os::fd::OwnedFd;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

/// Whether the init may lack rights that the launcher has, and finds the sources where the launcher does.
pub(super) fn may_be_out_of_reach(plan: &Plan, privileged: bool) -> bool {
    privileged && plan.namespaces.has_user_namespace() && plan.namespaces.is_new(NamespaceKind::Mount)
}

/// A copy of the mount at the step's source, or nothing where the init can do it, or where it is to find the fault.
pub(super) fn copy(step: &MountStep) -> Option<OwnedFd> {
    let MountAction::Bind { source, recursive, .. } = &step.action else { return None };
    let way = std::fs::canonicalize(source).ok()?;
    if way.ancestors().skip(1).all(anybody_may_search) {
        return None;
    }
    let tree = mount::copy(&orders::c(source).ok()?, *recursive).ok()?;
    // Of the copy itself: by its name it may be something else by now.
    let read_only = fstatvfs(&tree).ok()?.flags().contains(FsFlags::ST_RDONLY);
    (!read_only).then_some(tree)
}

/// What cannot be examined is left to the init too.
fn anybody_may_search(directory: &Path) -> bool {
    directory.metadata().map_or(true, |found| found.mode() & 0o001 != 0)
}
