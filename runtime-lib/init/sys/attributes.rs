//! Attributes and propagation of mounts: `mount_setattr(2)`, and the classic way where Linux is older than 5.12.
//!
//! The classic way is `mount(2)` by path, for which the mount has to be attached. Its path is the working directory, or, for what
//! is no directory, a link of /proc, so no name is looked up here either. It knows no recursion but that of the propagation.

use super::{AT_EMPTY_PATH, AT_RECURSIVE, Errno, RawFd, Result, address, check, fchdir, fd, mount, nr, pad, statfs, syscall, text};
use crate::console::push_number;
use crate::path::PathBuf;

const MS_REMOUNT: u64 = 0x20;
const MS_BIND: u64 = 0x1000;
const MS_REC: u64 = 0x4000;
const MS_NOATIME: u64 = 0x400;
const MS_RELATIME: u64 = 1 << 21;
const MS_STRICTATIME: u64 = 1 << 24;
const ATTR_TIMES: u64 = 0x70;
const ATTR_NOATIME: u64 = 0x10;
const ATTR_STRICTATIME: u64 = 0x20;

/// Attributes of `mount_setattr(2)`, flags of `mount(2)`, flags of `statfs(2)`.
const SIMPLE: [(u64, u64, u64); 6] = [
    (0x1, 0x1, 0x1),
    (0x2, 0x2, 0x2),
    (0x4, 0x4, 0x4),
    (0x8, 0x8, 0x8),
    (0x80, 0x800, 0x800),
    (0x20_0000, 0x100, 0x2000),
];

#[repr(C)]
struct MountAttr {
    set: u64,
    clear: u64,
    propagation: u64,
    userns_fd: u64,
}

/// Changes the mount that `file` is the root of. `ENOSYS` means that this kernel cannot, for a mount that is not attached yet or
/// for a whole tree.
pub fn set_attributes(file: RawFd, set: u64, clear: u64, propagation: u64, recursive: bool) -> Result {
    let attr = MountAttr { set, clear, propagation, userns_fd: 0 };
    let flags = AT_EMPTY_PATH | if recursive { AT_RECURSIVE } else { 0 };
    match call!(MOUNT_SETATTR, fd(file), text(c""), flags, address(&attr), size_of::<MountAttr>()) {
        Err(Errno::ENOSYS) => classic(file, &attr, recursive),
        result => result.map(drop),
    }
}

fn classic(file: RawFd, attr: &MountAttr, recursive: bool) -> Result {
    let change = |flags: u64| match change(file, flags) {
        // What mount(2) says of a mount that is attached nowhere.
        Err(Errno::EINVAL) => Err(Errno::ENOSYS),
        result => result,
    };
    if attr.set | attr.clear != 0 {
        if recursive {
            return Err(Errno::ENOSYS);
        }
        let now = attributes_of(file)?;
        change(MS_REMOUNT | MS_BIND | flags((now & !attr.clear) | attr.set))?;
    }
    if attr.propagation != 0 {
        change(attr.propagation | if recursive { MS_REC } else { 0 })?;
    }
    Ok(())
}

fn change(file: RawFd, flags: u64) -> Result {
    match fchdir(file) {
        Err(Errno::ENOTDIR) => {
            let mut path = PathBuf::new();
            path.push(b"/proc/self/fd/")?;
            push_number(&mut path, file.unsigned_abs())?;
            mount(None, path.as_cstr(), None, flags, None)
        }
        entered => entered.and_then(|()| mount(None, c".", None, flags, None)),
    }
}

/// The attributes that a mount has; `mount(2)` would take away those that it is not told of.
fn attributes_of(file: RawFd) -> Result<u64> {
    let flags = statfs(file)?.get(10).copied().unwrap_or(0);
    let simple = SIMPLE.iter().filter(|(_, _, of)| flags & of != 0).fold(0, |all, (attr, ..)| all | attr);
    let times = match (flags & 0x400 != 0, flags & 0x1000 != 0) {
        (true, _) => ATTR_NOATIME,
        (_, true) => 0,
        _ => ATTR_STRICTATIME,
    };
    Ok(simple | times)
}

/// As `mount(2)` takes them.
fn flags(attributes: u64) -> u64 {
    let simple = SIMPLE.iter().filter(|(attr, ..)| attributes & attr != 0).fold(0, |all, (_, flag, _)| all | flag);
    let times = match attributes & ATTR_TIMES {
        ATTR_NOATIME => MS_NOATIME,
        ATTR_STRICTATIME => MS_STRICTATIME,
        _ => MS_RELATIME,
    };
    simple | times
}
