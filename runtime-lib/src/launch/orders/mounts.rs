//! The steps for `mounts` in the words of the init.

use super::{Encoded, c};
use crate::error::Result;
use crate::launch::wire::{self, FdIndex, MountOp, Wire};
use crate::plan::{MountAction, MountStep};
use crate::spec::{MountAttrs, Propagation, PropagationKind};

/// `MS_*` propagation flags of `mount(2)`, with `MS_REC`.
pub(super) fn propagation_flags(propagation: Propagation) -> u64 {
    let kind = match propagation.kind {
        PropagationKind::Shared => libc::MS_SHARED,
        PropagationKind::Slave => libc::MS_SLAVE,
        PropagationKind::Private => libc::MS_PRIVATE,
        PropagationKind::Unbindable => libc::MS_UNBINDABLE,
    };
    kind | if propagation.recursive { libc::MS_REC } else { 0 }
}

/// `MS_*` flags as the `MOUNT_ATTR_*` to set and to clear of `mount_setattr(2)`. The times of access are one field of
/// several bits there: setting one clears the field.
fn attributes(attrs: MountAttrs) -> (u64, u64) {
    const ATIME: u64 = 0x70;
    let simple = |flags: u64| {
        let table = [
            (libc::MS_RDONLY, 0x1),
            (libc::MS_NOSUID, 0x2),
            (libc::MS_NODEV, 0x4),
            (libc::MS_NOEXEC, 0x8),
            (libc::MS_NODIRATIME, 0x80),
            (256, 0x20_0000),
        ];
        table.iter().filter(|(flag, _)| flags & flag != 0).fold(0, |all, (_, attr)| all | attr)
    };
    // Both at once is strictatime, as with mount(2).
    let time = if attrs.set & libc::MS_STRICTATIME != 0 {
        Some(0x20)
    } else if attrs.set & libc::MS_NOATIME != 0 {
        Some(0x10)
    } else if attrs.set & libc::MS_RELATIME != 0 || attrs.clear & (libc::MS_NOATIME | libc::MS_STRICTATIME) != 0 {
        Some(0) // relatime, which is also what clearing one of the others leads to
    } else {
        None
    };
    let clear = simple(attrs.clear) | if time.is_some() { ATIME } else { 0 };
    (simple(attrs.set) | time.unwrap_or(0), clear)
}

/// Encodes every step; `trees` has the places of those whose mount the launcher has made.
pub(super) fn encode(steps: &[MountStep], trees: &[(usize, FdIndex)]) -> Result<Encoded> {
    let mut place = 0;
    Encoded::of(steps, |step, sink| {
        let tree = trees.iter().find(|(of, _)| *of == place).map(|(_, tree)| *tree);
        place += 1;
        mount(step, tree, sink)
    })
}

/// What is mounted: the operation, its source, the file system's type, `MS_*` flags and options.
fn operation(action: &MountAction) -> (MountOp, &str, &str, u64, &str) {
    match action {
        MountAction::Filesystem { fstype, source, flags, data, .. } => {
            (MountOp::Filesystem, source, fstype, *flags, data)
        }
        MountAction::Bind { source, .. } => (MountOp::Bind, source, "", 0, ""),
        MountAction::Symlink { to } => (MountOp::Symlink, to, "", 0, ""),
        MountAction::Remount { .. } => (MountOp::Remount, "", "", 0, ""),
        MountAction::Reconfigure { flags, data, .. } => (MountOp::Reconfigure, "", "", *flags | libc::MS_REMOUNT, data),
    }
}

/// The attributes to give to the mount itself and to the whole tree, and the propagation.
fn adornments(action: &MountAction) -> (MountAttrs, MountAttrs, &[Propagation]) {
    let none = MountAttrs::default();
    match action {
        MountAction::Filesystem { recursive_attrs, propagation, .. }
        | MountAction::Reconfigure { recursive_attrs, propagation, .. } => (none, *recursive_attrs, propagation),
        MountAction::Bind { attrs, recursive_attrs, propagation, .. } => (*attrs, *recursive_attrs, propagation),
        MountAction::Symlink { .. } => (none, none, &[]),
        MountAction::Remount { attrs, .. } => (*attrs, none, &[]),
    }
}

/// Whether attributes that are not asked for are taken away. A bind without any flag is the source as it is.
fn is_exact(action: &MountAction) -> bool {
    match action {
        MountAction::Bind { attrs, .. } => attrs.set | attrs.clear != 0,
        MountAction::Remount { exact, .. } => *exact,
        _ => false,
    }
}

/// The SELinux context as an option of the file system, and as the label of its root. It may have commas in it, so the
/// kernel takes it in quotation marks.
fn context(action: &MountAction) -> (Option<String>, Option<&str>) {
    match action {
        MountAction::Filesystem { context: Some(context), fstype, .. } if fstype == "mqueue" => (None, Some(context)),
        MountAction::Filesystem { context: Some(context), .. } => (Some(format!("context=\"{context}\"")), None),
        _ => (None, None),
    }
}

fn mount(step: &MountStep, tree: Option<FdIndex>, sink: &mut Vec<u8>) -> Result<()> {
    let (mut op, source, fstype, mut flags, data) = operation(&step.action);
    let (context, label) = context(&step.action);
    let label = label.map(c).transpose()?;
    let data = [Some(data).filter(|data| !data.is_empty()), context.as_deref()];
    let data = c(&data.into_iter().flatten().collect::<Vec<_>>().join(","))?;
    let (target, source, fstype) = (c(&step.target)?, c(source)?, c(fstype)?);
    let (attrs, recursive_attrs, propagation) = adornments(&step.action);
    let propagation = Encoded::of(propagation, |propagation, sink| {
        propagation_flags(*propagation).put(sink);
        Ok(())
    })?;
    let ((mut attr_set, mut attr_clear), recursive) = (attributes(attrs), attributes(recursive_attrs));
    let copy_up = matches!(&step.action, MountAction::Filesystem { copy_up: true, .. });
    if tree.is_some() && op == MountOp::Filesystem {
        // The launcher has made it: what is left are the attributes.
        (attr_set, attr_clear) = attributes(MountAttrs { set: flags, clear: 0 });
        op = MountOp::Bind;
    } else if copy_up && flags & libc::MS_RDONLY != 0 {
        // First the content, then read-only.
        flags &= !libc::MS_RDONLY;
        (attr_set, attr_clear) = attributes(MountAttrs { set: libc::MS_RDONLY, clear: 0 });
    }
    const TIMES: u64 = libc::MS_NOATIME | libc::MS_NODIRATIME | libc::MS_RELATIME | libc::MS_STRICTATIME;
    if is_exact(&step.action) && attrs.set & TIMES != 0 {
        // As with mount(2): the options of access times stay only where none of them is named.
        attr_clear |= 0x70 | 0x80;
    }
    let or_bind = match &step.action {
        MountAction::Filesystem { or_bind: Some(source), .. } => {
            (attr_set, attr_clear) = attributes(MountAttrs { set: flags, clear: 0 });
            Some(c(source)?)
        }
        _ => None,
    };
    let mount = wire::Mount {
        op,
        index: step.index as u32,
        source: &source,
        target: &target,
        fstype: &fstype,
        flags,
        data: &data,
        tree,
        keep_mode: matches!(&step.action, MountAction::Filesystem { keep_mode: true, .. }),
        no_symlinks: matches!(&step.action, MountAction::Filesystem { no_symlinks: true, .. }),
        or_bind: or_bind.as_deref(),
        in_proc: step.covers_proc(),
        recursive: matches!(&step.action, MountAction::Bind { recursive: true, .. }),
        exact: is_exact(&step.action),
        attr_set,
        attr_clear,
        recursive_set: recursive.0,
        recursive_clear: recursive.1,
        propagation: propagation.list(),
        copy_up,
        label: label.as_deref(),
    };
    mount.put(sink);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn access_times_are_one_field() {
        let attrs = |set, clear| attributes(MountAttrs { set, clear });
        assert_eq!(attrs(libc::MS_RDONLY | libc::MS_NOSUID, 0), (3, 0));
        assert_eq!(attrs(libc::MS_NOATIME, 0), (0x10, 0x70));
        assert_eq!(attrs(libc::MS_STRICTATIME, 0), (0x20, 0x70));
        assert_eq!(attrs(libc::MS_STRICTATIME | libc::MS_NOATIME, 0), (0x20, 0x70));
        assert_eq!(attrs(libc::MS_RELATIME, 0), (0, 0x70));
        assert_eq!(attrs(0, libc::MS_NOATIME | libc::MS_RDONLY), (0, 0x71));
        assert_eq!(attrs(0, libc::MS_NODIRATIME), (0, 0x80));
    }
}
