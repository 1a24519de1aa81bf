//! Id-mapped mounts, see *ID-mapped mounts* of `mount_setattr(2)`.
//!
//! Mapping takes CAP_SYS_ADMIN where the file system was mounted, which an init in a user namespace does not have, and a mount
//! that nobody has used yet. So the launcher makes these mounts, detached, and the init only attaches them. The kernel
//! takes a mapping as a user namespace: one is made for each, held by an init that waits for orders that never come.

use super::{idmap, orders, sources, start_init_in};
use crate::error::{Error, ErrorKind, Result};
use crate::plan::{MountAction, MountStep, Plan};
use crate::spec::{MountIdMap, NamespaceKind, PropagationKind};
use crate::sys::{mount, pidfd, socket};
use nix::errno::Errno;
use std::ffi::CString;
use std::fs::File;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

/// Makes the mounts of the steps that have mappings, and of those whose source the init cannot reach: their places, and
/// the mounts.
///
/// # Errors
/// The source, the file system or the mapping, named by the element.
pub(super) fn make(plan: &Plan, joined: &[OwnedFd], privileged: bool) -> Result<Vec<(usize, OwnedFd)>> {
    let mut made = Vec::new();
    let mut namespaces: Vec<(&MountIdMap, OwnedFd)> = Vec::new();
    let out_of_reach = sources::may_be_out_of_reach(plan, privileged);
    for (place, step) in plan.mounts.iter().enumerate() {
        let Some(map) = &step.id_map else {
            if let Some(tree) = out_of_reach.then(|| sources::copy(step)).flatten() {
                let location = format!("mounts[{}]", step.index);
                spread(plan, &tree).map_err(|errno| Error::os("set propagation", errno).at(location))?;
                made.push((place, tree));
            }
            continue;
        };
        let location = format!("mounts[{}]", step.index);
        if !privileged {
            let message = "id-mapped mounts are not supported for rootless containers";
            return Err(Error::config(location, message).with_kind(ErrorKind::Unsupported));
        }
        let same = |(known, _): &&(&MountIdMap, OwnedFd)| (&known.uids, &known.gids) == (&map.uids, &map.gids);
        if !map.uids.is_empty() && namespaces.iter().find(same).is_none() {
            namespaces.push((map, user_namespace(map, step.index)?));
        }
        let own = namespaces.iter().find(same).map(|(_, namespace)| namespace.as_fd());
        let namespace = match own.or_else(|| joined_user_namespace(plan, joined)) {
            Some(namespace) => namespace,
            None => return Err(Error::new(ErrorKind::Internal, "no user namespace for the mapping").at(location)),
        };
        let of_step = |error: Error| error.context(step.operation()).at(location.clone());
        let tree = open(step).map_err(of_step)?;
        mount::map_ids(&tree, namespace, map.recursive).map_err(|errno| of_step(not_mapped(errno)))?;
        spread(plan, &tree).map_err(|errno| of_step(Error::os("set propagation", errno)))?;
        made.push((place, tree));
    }
    Ok(made)
}

fn joined_user_namespace<'a>(plan: &Plan, joined: &'a [OwnedFd]) -> Option<BorrowedFd<'a>> {
    let place = plan.namespaces.join.iter().position(|join| join.kind == NamespaceKind::User)?;
    joined.get(place).map(AsFd::as_fd)
}

fn not_mapped(errno: Errno) -> Error {
    let error = Error::os("map the ids", errno);
    match errno {
        Errno::EINVAL => error.hint("this file system, or one below it, does not support id-mapped mounts"),
        Errno::EPERM => error.hint(
            "it takes CAP_SYS_ADMIN in the user namespace of the file system, and a mount that is not id-mapped already",
        ),
        _ => error,
    }
}

/// As the mounts of the container are to the host's: what `mount(2)` on `/` does for all others in the init.
fn spread(plan: &Plan, tree: &OwnedFd) -> std::result::Result<(), Errno> {
    if !plan.rootfs.propagation_recursive {
        return Ok(());
    }
    let kind = match plan.rootfs.propagation {
        PropagationKind::Shared => return Ok(()),
        PropagationKind::Slave => libc::MS_SLAVE,
        PropagationKind::Private | PropagationKind::Unbindable => libc::MS_PRIVATE,
    };
    mount::propagate(tree, kind, true)
}

/// The mount, detached.
fn open(step: &MountStep) -> Result<OwnedFd> {
    match &step.action {
        MountAction::Bind { source, recursive, .. } => {
            mount::copy(&orders::c(source)?, *recursive).map_err(|errno| Error::os("open source", errno))
        }
        MountAction::Filesystem { fstype, source, flags, data, keep_mode, copy_up, context, .. } => {
            // The init still has to write to it.
            let flags = if *keep_mode || *copy_up { flags & !libc::MS_RDONLY } else { *flags };
            let options = Options::read(source, flags, data, context.as_deref())?;
            let options: Vec<_> = options.0.iter().map(|(key, value)| (key.as_c_str(), value.as_deref())).collect();
            mount::create(&orders::c(fstype)?, &options).map_err(|errno| Error::os("mount", errno))
        }
        MountAction::Symlink { .. } | MountAction::Remount { .. } | MountAction::Reconfigure { .. } => {
            Err(Error::new(ErrorKind::Internal, "this step has no ids to map"))
        }
    }
}

/// Options for `fsconfig(2)`.
struct Options(Vec<(CString, Option<CString>)>);

impl Options {
    fn read(source: &str, flags: u64, data: &str, context: Option<&str>) -> Result<Options> {
        let mut options = vec![(orders::c("source")?, Some(orders::c(source)?))];
        for (flag, name) in [
            (libc::MS_RDONLY, "ro"),
            (libc::MS_SYNCHRONOUS, "sync"),
            (libc::MS_DIRSYNC, "dirsync"),
            (libc::MS_MANDLOCK, "mand"),
            (libc::MS_LAZYTIME, "lazytime"),
        ] {
            if flags & flag != 0 {
                options.push((orders::c(name)?, None));
            }
        }
        if flags & (libc::MS_POSIXACL | libc::MS_I_VERSION) != 0 {
            let message = "acl and iversion are not possible for an id-mapped mount of a new file system";
            return Err(Error::new(ErrorKind::Unsupported, message));
        }
        for option in data.split(',').filter(|option| !option.is_empty()) {
            options.push(match option.split_once('=') {
                Some((key, value)) => (orders::c(key)?, Some(orders::c(value)?)),
                None => (orders::c(option)?, None),
            });
        }
        if let Some(context) = context {
            options.push((orders::c("context")?, Some(orders::c(context)?)));
        }
        Ok(Options(options))
    }
}

/// A user namespace with these mappings.
fn user_namespace(map: &MountIdMap, index: usize) -> Result<OwnedFd> {
    let location = format!("mounts[{index}]");
    let (link, inner) = socket::pair().map_err(|errno| Error::os("create a socket pair", errno))?;
    let holder = start_init_in(libc::CLONE_NEWUSER.unsigned_abs().into(), &inner, None)
        .map_err(|errno| Error::os("make a user namespace", errno).at(location.clone()))?;
    drop(inner);
    let namespace = idmap::write_map(holder.pid, "uid_map", &format!("{location}.uidMappings"), &map.uids)
        .and_then(|()| idmap::write_map(holder.pid, "gid_map", &format!("{location}.gidMappings"), &map.gids))
        .and_then(|()| {
            let path = format!("/proc/{}/ns/user", holder.pid);
            File::open(&path).map_err(|error| Error::os(format!("open {path}"), error).at(location))
        });
    let _ = pidfd::signal(&holder.pidfd, libc::SIGKILL);
    let _ = pidfd::wait(&holder.pidfd);
    drop(link);
    namespace.map(OwnedFd::from)
}
