//! `tmpcopyup`: what a new tmpfs covers is copied into it.
//!
//! The image's owner wrote the directory, so nothing in it is followed: every entry is opened by its name in its
//! directory with `O_NOFOLLOW`.

use crate::path::PathBuf;
use crate::sys::{self, Errno, RawFd, Result, open};
use core::ffi::CStr;

/// Directories nested deeper than this are refused: each level takes stack.
const DEPTH: usize = 64;

/// Copies the content of the directory behind `from` (`O_PATH` will do) into the one behind `to`.
pub fn copy_up(from: RawFd, to: RawFd) -> Result {
    let flags = open::RDONLY | open::DIRECTORY;
    let (from, to) = (sys::openat(from, c".", flags)?, sys::openat(to, c".", flags)?);
    copy_directory(from.0, to.0, 0)
}

fn copy_directory(from: RawFd, to: RawFd, depth: usize) -> Result {
    if depth == DEPTH {
        return Err(Errno::ELOOP);
    }
    let mut entries = [0u8; 2048];
    loop {
        let filled = sys::getdents(from, &mut entries)?;
        let mut rest = entries.get(..filled).unwrap_or_default();
        if rest.is_empty() {
            return Ok(());
        }
        // struct linux_dirent64: u64 inode, u64 offset, u16 length, u8 type, the name.
        while let (Some(length), Some(name)) = (rest.get(16..18), rest.get(19..)) {
            let name = CStr::from_bytes_until_nul(name).map_err(|_| Errno::EINVAL)?;
            if name != c"." && name != c".." {
                copy_entry(from, to, name, depth)?;
            }
            let length = length.iter().rev().fold(0, |value, byte| value << 8 | usize::from(*byte));
            rest = rest.get(length.max(19)..).unwrap_or_default();
        }
    }
}

fn copy_entry(from: RawFd, to: RawFd, name: &CStr, depth: usize) -> Result {
    const S_IFDIR: u32 = 0o040000;
    const S_IFREG: u32 = 0o100000;
    const S_IFLNK: u32 = 0o120000;
    let stat = sys::statx(from, name, sys::AT_SYMLINK_NOFOLLOW)?;
    let mode = u32::from(stat.mode);
    match stat.kind() {
        S_IFDIR => {
            sys::mkdirat(to, name, 0o700)?;
            let flags = open::RDONLY | open::DIRECTORY | open::NOFOLLOW;
            let copy = sys::openat(to, name, flags)?;
            copy_directory(sys::openat(from, name, flags)?.0, copy.0, depth + 1)?;
            sys::fchown(copy.0, stat.uid, stat.gid)?;
            // mkdir(2) makes no set-group-id bit.
            return sys::fchmod(copy.0, mode & 0o7777);
        }
        S_IFREG => {
            sys::mknodat(to, name, mode, 0)?;
            let source = sys::openat(from, name, open::RDONLY | open::NOFOLLOW | open::NONBLOCK)?;
            let copy = sys::openat(to, name, open::WRONLY | open::NOFOLLOW)?;
            copy_bytes(source.0, copy.0)?;
            sys::fchown(copy.0, stat.uid, stat.gid)?;
            // Writing and a new owner take the set-user-id bit away.
            return sys::fchmod(copy.0, mode & 0o7777);
        }
        S_IFLNK => {
            let mut buffer = [0u8; 4096];
            let length = sys::readlinkat(from, name, &mut buffer)?;
            let mut target = PathBuf::new();
            target.push(buffer.get(..length).unwrap_or_default())?;
            sys::symlinkat(target.as_cstr(), to, name)?;
        }
        // FIFOs, sockets and devices: where a device cannot be made, as in a user namespace, what is covered cannot be copied.
        _ => sys::mknodat(to, name, mode, stat.device())?,
    }
    sys::lchownat(to, name, stat.uid, stat.gid)
}

fn copy_bytes(from: RawFd, to: RawFd) -> Result {
    let mut buffer = [0u8; 8192];
    loop {
        let count = sys::read(from, &mut buffer)?;
        let mut rest = buffer.get(..count).unwrap_or_default();
        if rest.is_empty() {
            return Ok(());
        }
        while !rest.is_empty() {
            let written = sys::write(to, rest)?;
            rest = rest.get(written..).unwrap_or_default();
        }
    }
}
