//! Mounts that are not attached anywhere, see `open_tree(2)`, `fsopen(2)` and `mount_setattr(2)`.

use nix::errno::Errno;
use std::ffi::CStr;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

const FSCONFIG_SET_FLAG: libc::c_uint = 0;
const FSCONFIG_SET_STRING: libc::c_uint = 1;
const FSCONFIG_CMD_CREATE: libc::c_uint = 6;

fn flags(tree: bool) -> libc::c_uint {
    (libc::AT_EMPTY_PATH | if tree { libc::AT_RECURSIVE } else { 0 }).unsigned_abs()
}

/// What the kernel returned as a new descriptor.
fn new(result: libc::c_long) -> Result<OwnedFd, Errno> {
    let fd = Errno::result(result)?;
    let fd = i32::try_from(fd).map_err(|_| Errno::EBADF)?;
    // SAFETY: the caller passes the result of a system call that makes a descriptor, which nothing else knows.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// A copy of the mount at `path`, with all below it for a `tree`.
pub(crate) fn copy(path: &CStr, tree: bool) -> Result<OwnedFd, Errno> {
    let flags = libc::OPEN_TREE_CLONE | libc::OPEN_TREE_CLOEXEC | if tree { flags(true) } else { 0 };
    let flags = flags & !libc::AT_EMPTY_PATH.unsigned_abs();
    // SAFETY: the path ends with a NUL and outlives the call, which has no other memory effects.
    new(unsafe { libc::syscall(libc::SYS_open_tree, libc::AT_FDCWD, path.as_ptr(), flags) })
}

/// A new file system; an option without a value is a flag.
pub(crate) fn create(fstype: &CStr, options: &[(&CStr, Option<&CStr>)]) -> Result<OwnedFd, Errno> {
    const FSOPEN_CLOEXEC: libc::c_uint = 1;
    const FSMOUNT_CLOEXEC: libc::c_uint = 1;
    // SAFETY: the type ends with a NUL and outlives the call, which has no other memory effects.
    let context = new(unsafe { libc::syscall(libc::SYS_fsopen, fstype.as_ptr(), FSOPEN_CLOEXEC) })?;
    let configure = |command: libc::c_uint, key: Option<&CStr>, value: Option<&CStr>| {
        let pointer = |text: Option<&CStr>| text.map_or(std::ptr::null(), CStr::as_ptr);
        // SAFETY: key and value, where there are any, end with a NUL and outlive the call, which has no other effects.
        let result =
            unsafe { libc::syscall(libc::SYS_fsconfig, context.as_raw_fd(), command, pointer(key), pointer(value), 0) };
        Errno::result(result).map(drop)
    };
    for (key, value) in options {
        let command = if value.is_some() { FSCONFIG_SET_STRING } else { FSCONFIG_SET_FLAG };
        configure(command, Some(key), *value)?;
    }
    configure(FSCONFIG_CMD_CREATE, None, None)?;
    // SAFETY: the call has no memory effects.
    new(unsafe { libc::syscall(libc::SYS_fsmount, context.as_raw_fd(), FSMOUNT_CLOEXEC, 0) })
}

/// Maps the owners of the files of a mount, or of a tree of mounts, that nobody has used yet.
pub(crate) fn map_ids(mount: &OwnedFd, user_namespace: BorrowedFd<'_>, tree: bool) -> Result<(), Errno> {
    let userns_fd = user_namespace.as_raw_fd().unsigned_abs().into();
    set_attributes(mount, libc::MOUNT_ATTR_IDMAP, 0, userns_fd, tree)
}

/// Sets the propagation (`MS_SHARED` …).
pub(crate) fn propagate(mount: &OwnedFd, propagation: u64, tree: bool) -> Result<(), Errno> {
    set_attributes(mount, 0, propagation, 0, tree)
}

fn set_attributes(mount: &OwnedFd, set: u64, propagation: u64, userns_fd: u64, tree: bool) -> Result<(), Errno> {
    let attributes = libc::mount_attr { attr_set: set, attr_clr: 0, propagation, userns_fd };
    let (empty, size) = (c"".as_ptr(), size_of_val(&attributes));
    // SAFETY: the kernel reads an empty path and `size` bytes of a live local.
    Errno::result(unsafe {
        libc::syscall(libc::SYS_mount_setattr, mount.as_raw_fd(), empty, flags(tree), &raw const attributes, size)
    })
    .map(drop)
}
