//! `mounts`, `linux.readonlyPaths` and `linux.maskedPaths`.
//!
//! A target is opened once, inside the root, and mounted on as a descriptor. A new file system goes through the working
//! directory (`mount(2)` on `.`), a bind through `open_tree(2)` and `move_mount(2)`: its attributes are set before
//! anybody can see it.

use crate::copyup;
use crate::fault::{During, Fault, OfElement, Step};
use crate::link::Link;
use crate::path::{Missing, PathBuf, Root};
use crate::sys::{self, AT_FDCWD, Errno, Fd, RawFd, open};
use crate::wire::{List, Mount, MountOp, Op, Orders};
use core::ffi::CStr;

const S_IFDIR: u32 = 0o040000;
const S_IFCHR: u32 = 0o020000;
const S_IFREG: u32 = 0o100000;
const PROC_SUPER_MAGIC: u64 = 0x9fa0;
const SYSFS_MAGIC: u64 = 0x6265_6572;
const MS_REC: u64 = 0x4000;
const ATTR_RDONLY: u64 = 1;
const ATTR_NOSUID: u64 = 2;
const ATTR_NODEV: u64 = 4;
const ATTR_NOEXEC: u64 = 8;
/// All but the access times, which a remount leaves alone.
const FLAGS: u64 = ATTR_RDONLY | ATTR_NOSUID | ATTR_NODEV | ATTR_NOEXEC | 0x20_0000;

/// The container's procfs and sysfs as they were mounted. What is masked in them is walked to from there: whoever has a hand in
/// the rootfs may give the name /proc to something else meanwhile, where there is nothing to mask.
#[derive(Default)]
pub struct Kernel {
    proc: Option<Fd>,
    sys: Option<Fd>,
}

impl Kernel {
    /// The place to remember a mount on `target` in.
    fn place(&mut self, target: &CStr) -> Option<&mut Option<Fd>> {
        match target.to_bytes() {
            b"/proc" => Some(&mut self.proc),
            b"/sys" => Some(&mut self.sys),
            _ => None,
        }
    }

    /// Where to walk from to `path`, and the rest of it.
    fn walk<'p>(&self, root: Root, path: &'p CStr) -> (Root, &'p CStr) {
        for (mount, prefix) in [(&self.proc, c"/proc/"), (&self.sys, c"/sys/")] {
            let rest = path.to_bytes_with_nul().strip_prefix(prefix.to_bytes());
            if let (Some(mount), Some(Ok(rest))) = (mount, rest.map(CStr::from_bytes_with_nul)) {
                return (Root(mount.0), rest);
            }
        }
        (root, path)
    }

    /// Remembers the file system that was just mounted by path.
    fn find(&mut self, root: Root, mount: &Mount<'_>) -> Step {
        let Some(place) = self.place(mount.target) else { return Ok(()) };
        let made = root.open_no_symlinks(mount.target).during(Op::OpenTarget)?;
        let kind = if mount.target == c"/proc" { PROC_SUPER_MAGIC } else { SYSFS_MAGIC };
        if !is_mount_root(&made)? || sys::file_system(made.0).during(Op::OpenTarget)? != kind {
            return Err(Fault::new(Op::CheckTarget, Errno::EINVAL));
        }
        *place = Some(made);
        Ok(())
    }
}

/// Carries out every step for `mounts`; with `remember`, gives what paths to be masked are walked to from.
pub fn mount_all(root: Root, mounts: List<'_, Mount<'_>>, link: &Link, remember: bool) -> Step<Kernel> {
    let mut kernel = Kernel::default();
    for (place, mount) in mounts.iter().enumerate() {
        match mount.op {
            MountOp::Filesystem if remember && mount.no_symlinks => {
                filesystem(root, &mount).and_then(|()| kernel.find(root, &mount))
            }
            MountOp::Filesystem => filesystem(root, &mount),
            MountOp::Bind => bind(root, &mount, link).map(|tree| {
                if let Some(place) = kernel.place(mount.target) {
                    *place = Some(tree);
                }
            }),
            MountOp::Symlink => symlink(root, &mount),
            MountOp::Remount => remount(root, &mount),
            MountOp::Reconfigure => reconfigure(root, &mount),
        }
        .of(place)?;
    }
    Ok(kernel)
}

fn filesystem(root: Root, mount: &Mount<'_>) -> Step {
    let (target, existed) = target_directory(root, mount)?;
    refuse_in_proc(&target, mount)?;
    let mut data = PathBuf::new();
    if mount.keep_mode && existed {
        let stat = sys::stat(target.0).during(Op::OpenTarget)?;
        push_mode(&mut data, stat.mode & 0o7777, !mount.data.is_empty()).during(Op::Mount)?;
    }
    data.push(mount.data.to_bytes()).during(Op::Mount)?;
    sys::fchdir(target.0).during(Op::OpenTarget)?;
    let data = if data.as_bytes().is_empty() { None } else { Some(data.as_cstr()) };
    match (sys::mount(Some(mount.source), c".", Some(mount.fstype), mount.flags, data), mount.or_bind) {
        // A user namespace may not mount what it cannot see whole, nor twice in one place.
        (Err(Errno::EPERM | Errno::EBUSY), Some(source)) => return bind_instead(source, &target, mount),
        (mounted, _) => mounted.during(Op::Mount)?,
    }
    if mount.copy_up {
        let made = reopen(root, mount)?;
        copyup::copy_up(target.0, made.0).during(Op::CopyUp)?;
        if mount.attr_set != 0 {
            sys::set_attributes(made.0, mount.attr_set, 0, 0, false).during(Op::SetAttributes)?;
        }
    }
    if mount.recursive_set | mount.recursive_clear != 0 {
        let made = reopen(root, mount)?;
        sys::set_attributes(made.0, mount.recursive_set, mount.recursive_clear, 0, true).during(Op::SetAttributes)?;
    }
    if let Some(label) = mount.label {
        sys::fchdir(reopen(root, mount)?.0).during(Op::Label)?;
        sys::set_xattr(c".", c"security.selinux", label).during(Op::Label)?;
    }
    if !mount.propagation.is_empty() {
        propagate(reopen(root, mount)?.0, mount)?;
    }
    Ok(())
}

fn bind_instead(source: &CStr, target: &Fd, mount: &Mount<'_>) -> Step {
    let tree = sys::clone_tree(AT_FDCWD, source, true).during(Op::OpenSource)?;
    attach(&tree, target, || set_attributes(tree.0, mount))?;
    propagate(tree.0, mount)
}

/// Covering files of /proc is how a container lies to its runtime and to itself (CVE-2019-16884: a fake
/// /proc/self/attr/exec): only a few harmless ones may be, wherever links of the image lead.
fn refuse_in_proc(target: &Fd, mount: &Mount<'_>) -> Step {
    if !mount.in_proc && sys::is_in_procfs(target.0).during(Op::OpenTarget)? {
        return Err(Fault::new(Op::InsideProc, Errno::EPERM));
    }
    Ok(())
}

/// Opens the target, creating it where it is missing; says whether it existed.
fn target_directory(root: Root, mount: &Mount<'_>) -> Step<(Fd, bool)> {
    let found = if mount.no_symlinks { root.open_no_symlinks(mount.target) } else { root.open(mount.target) };
    match found {
        Err(Errno::ENOENT) => Ok((root.create_missing(mount.target, Missing::Directory)?, false)),
        // A link in place of /proc: what is mounted there would not be where the program looks for it.
        Err(Errno::ELOOP) if mount.no_symlinks => Err(Fault::new(Op::CheckTarget, Errno::ELOOP)),
        found => Ok((found.during(Op::OpenTarget)?, true)),
    }
}

/// The mount that was just made: it must be the root of a mount, or somebody swapped the target since.
fn reopen(root: Root, mount: &Mount<'_>) -> Step<Fd> {
    find_mount(root, mount.target)
}

fn find_mount(root: Root, target: &CStr) -> Step<Fd> {
    let made = root.open(target).during(Op::OpenTarget)?;
    if is_mount_root(&made)? { Ok(made) } else { Err(Fault::new(Op::CheckTarget, Errno::EINVAL)) }
}

fn is_mount_root(file: &Fd) -> Step<bool> {
    const STATX_ATTR_MOUNT_ROOT: u64 = 0x2000;
    let stat = sys::stat(file.0).during(Op::OpenTarget)?;
    Ok(stat.attributes & STATX_ATTR_MOUNT_ROOT != 0)
}

fn push_mode(data: &mut PathBuf, mode: u16, more: bool) -> sys::Result {
    let digit = |shift: u16| b'0' + ((mode >> shift) & 7) as u8;
    data.push(b"mode=")?;
    data.push(&[digit(9), digit(6), digit(3), digit(0)])?;
    if more { data.push(b",") } else { Ok(()) }
}

fn bind(root: Root, mount: &Mount<'_>, link: &Link) -> Step<Fd> {
    let tree = match mount.tree {
        Some(made) => Fd(link.fd(made)?),
        None => sys::clone_tree(AT_FDCWD, mount.source, mount.recursive).during(Op::OpenSource)?,
    };
    if mount.target == c"/proc" && !sys::is_in_procfs(tree.0).during(Op::OpenSource)? {
        // Something else would answer for the kernel there (CVE-2019-16884).
        return Err(Fault::new(Op::CheckSource, Errno::EINVAL));
    }
    let kind = sys::stat(tree.0).during(Op::OpenSource)?.kind();
    let missing = if kind == S_IFDIR { Missing::Directory } else { Missing::File };
    let target = root.ensure(mount.target, missing)?;
    refuse_in_proc(&target, mount)?;
    if mount.keep_mode || mount.copy_up {
        fill(&tree, &target, mount)?;
    }
    attach(&tree, &target, || set_attributes(tree.0, mount))?;
    propagate(tree.0, mount)?;
    Ok(tree)
}

/// Attaches a mount that `prepare` has been through, so that nobody ever sees it otherwise. Without `mount_setattr(2)` there is
/// nothing to be done to a mount before it is attached: then it is prepared right after.
pub fn attach(tree: &Fd, target: &Fd, prepare: impl Fn() -> Step) -> Step {
    let prepared = prepare();
    match prepared {
        Err(Fault { errno: Errno::ENOSYS, .. }) => {}
        prepared => prepared?,
    }
    sys::attach(tree.0, target.0).during(Op::Attach)?;
    if prepared.is_err() { prepare() } else { Ok(()) }
}

/// A new tmpfs of the launcher's, before it is attached.
fn fill(tree: &Fd, target: &Fd, mount: &Mount<'_>) -> Step {
    if mount.keep_mode {
        let mode = sys::stat(target.0).during(Op::OpenTarget)?.mode;
        let directory = sys::openat(tree.0, c".", open::RDONLY | open::DIRECTORY).during(Op::Mount)?;
        sys::fchmod(directory.0, u32::from(mode) & 0o7777).during(Op::Mount)?;
    }
    if mount.copy_up { copyup::copy_up(target.0, tree.0).during(Op::CopyUp) } else { Ok(()) }
}

fn set_attributes(tree: RawFd, mount: &Mount<'_>) -> Step {
    let exactly = || sys::set_attributes(tree, mount.attr_set, mount.attr_clear | (FLAGS & !mount.attr_set), 0, false);
    // A remount with flags replaces those of the source, as with mount(8) and runc.
    let done = mount.exact
        && match exactly() {
            // What is locked, because a more privileged user namespace set it, stays: mount_namespaces(7).
            Err(Errno::EPERM) => false,
            exact => exact.during(Op::SetAttributes).map(|()| true)?,
        };
    if !done && mount.attr_set | mount.attr_clear != 0 {
        sys::set_attributes(tree, mount.attr_set, mount.attr_clear, 0, false).during(Op::SetAttributes)?;
    }
    if mount.recursive_set | mount.recursive_clear != 0 {
        sys::set_attributes(tree, mount.recursive_set, mount.recursive_clear, 0, true).during(Op::SetAttributes)?;
    }
    Ok(())
}

fn propagate(tree: RawFd, mount: &Mount<'_>) -> Step {
    for flags in mount.propagation.iter() {
        sys::set_attributes(tree, 0, 0, flags & !MS_REC, flags & MS_REC != 0).during(Op::SetPropagation)?;
    }
    Ok(())
}

fn symlink(root: Root, mount: &Mount<'_>) -> Step {
    let (parent, name) = root.open_parent(mount.target)?;
    match sys::symlinkat(mount.source, parent.0, name) {
        Err(Errno::EEXIST) => Ok(()),
        result => result.during(Op::CreateTarget),
    }
}

fn remount(root: Root, mount: &Mount<'_>) -> Step {
    let made = reopen(root, mount)?;
    set_attributes(made.0, mount)
}

/// `mount(2)` with `MS_REMOUNT`: flags and options of the file system, and all attributes of the mount, as they are said.
fn reconfigure(root: Root, mount: &Mount<'_>) -> Step {
    let made = reopen(root, mount)?;
    sys::fchdir(made.0).during(Op::OpenTarget)?;
    let data = if mount.data.is_empty() { None } else { Some(mount.data) };
    sys::mount(None, c".", None, mount.flags, data).during(Op::Mount)?;
    set_attributes(made.0, mount)?;
    propagate(made.0, mount)
}

/// File systems in memory that were to be read-only, once everything is in them.
pub fn make_readonly_late(root: Root, targets: List<'_, &CStr>) -> Step {
    for (place, target) in targets.iter().enumerate() {
        let made = find_mount(root, target).of(place)?;
        sys::set_attributes(made.0, ATTR_RDONLY, 0, 0, false).during(Op::SetAttributes).of(place)?;
    }
    Ok(())
}

/// `linux.readonlyPaths`: what exists becomes a read-only mount of itself.
pub fn make_readonly(root: Root, kernel: &Kernel, paths: List<'_, &CStr>) -> Step {
    for (place, path) in paths.iter().enumerate() {
        let (from, path) = kernel.walk(root, path);
        let target = match from.open(path) {
            Err(Errno::ENOENT | Errno::ENOTDIR) => continue,
            found => found.during(Op::OpenTarget).of(place)?,
        };
        let tree = sys::clone_tree(target.0, c"", true).during(Op::Mount).of(place)?;
        // What is mounted below a read-only path would be writable otherwise; the classic way there is only the path itself.
        let whole = || match sys::set_attributes(tree.0, ATTR_RDONLY, 0, 0, true) {
            Err(Errno::ENOSYS) => sys::set_attributes(tree.0, ATTR_RDONLY, 0, 0, false),
            result => result,
        };
        attach(&tree, &target, || whole().during(Op::SetAttributes)).of(place)?;
    }
    Ok(())
}

/// What masks cover paths with, opened while the host's /dev is still there.
pub struct Masks<'a> {
    null: Fd,
    empty: Option<Fd>,
    /// The SELinux context of the empty directory.
    context: Option<&'a CStr>,
}

impl<'a> Masks<'a> {
    /// Opens the host's null device, and makes sure it is one (CVE-2025-31133: a link in its place unmasked everything).
    pub fn prepare(orders: &Orders<'a>) -> Step<Option<Masks<'a>>> {
        if orders.masked_paths.is_empty() {
            return Ok(None);
        }
        let null = sys::openat(AT_FDCWD, c"/dev/null", open::PATH | open::NOFOLLOW).during(Op::OpenSource)?;
        let stat = sys::stat(null.0).during(Op::OpenSource)?;
        if stat.kind() != S_IFCHR || (stat.rdev_major, stat.rdev_minor) != (1, 3) {
            return Err(Fault::new(Op::CheckSource, Errno::ENODEV));
        }
        Ok(Some(Masks { null, empty: None, context: orders.mask_context }))
    }

    /// `linux.maskedPaths`: a file becomes the null device, a directory an empty read-only one.
    pub fn cover(&mut self, root: Root, kernel: &Kernel, paths: List<'_, &CStr>) -> Step {
        for (place, path) in paths.iter().enumerate() {
            let (from, path) = kernel.walk(root, path);
            let target = match from.open(path) {
                Err(Errno::ENOENT | Errno::ENOTDIR) => continue,
                found => found.during(Op::OpenTarget).of(place)?,
            };
            let directory = sys::stat(target.0).during(Op::OpenTarget).of(place)?.kind() == S_IFDIR;
            if directory { self.cover_directory(&target) } else { cover_with(self.null.0, &target) }.of(place)?;
        }
        Ok(())
    }

    /// One empty tmpfs serves all masked directories: the first gets the mount itself, the others copies of it, which
    /// kernels before 6.15 make only of a mount that is attached.
    fn cover_directory(&mut self, target: &Fd) -> Step {
        match &self.empty {
            Some(empty) => cover_with(empty.0, target),
            None => {
                let attributes = ATTR_RDONLY | ATTR_NOSUID | ATTR_NODEV | ATTR_NOEXEC;
                let (mode, inodes) = ((c"mode", c"755"), (c"nr_inodes", c"1"));
                let empty = match self.context {
                    None => sys::new_mount(c"tmpfs", &[mode, inodes], attributes),
                    Some(label) => sys::new_mount(c"tmpfs", &[mode, inodes, (c"context", label)], attributes),
                };
                let empty = empty.during(Op::Mount)?;
                sys::attach(empty.0, target.0).during(Op::Attach)?;
                self.empty = Some(empty);
                Ok(())
            }
        }
    }
}

fn cover_with(source: RawFd, target: &Fd) -> Step {
    let tree = sys::clone_tree(source, c"", false).during(Op::Mount)?;
    sys::attach(tree.0, target.0).during(Op::Attach)
}

/// Binds the file, device or terminal behind `source` onto `path`, which becomes an empty file if it is missing. A link there
/// would put it on whatever the link leads to (CVE-2025-52565).
pub fn bind_file(root: Root, source: RawFd, path: &CStr) -> Step {
    let target = root.ensure_file(path)?;
    let kind = sys::stat(target.0).during(Op::OpenTarget)?.kind();
    if kind != S_IFREG && kind != S_IFCHR {
        return Err(Fault::new(Op::CheckTarget, Errno::EINVAL));
    }
    let tree = sys::clone_tree(source, c"", false).during(Op::Mount)?;
    sys::attach(tree.0, target.0).during(Op::Attach)
}
