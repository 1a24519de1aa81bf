//! The kernel's small files.

use nix::errno::Errno;
use nix::fcntl::{OFlag, open};
use nix::sys::stat::Mode;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

/// An open file of a cgroup, for one or more values. Each write is a command of its own to the kernel.
pub(super) struct ControlFile(OwnedFd);

impl ControlFile {
    pub(super) fn open(path: &Path) -> Result<ControlFile, Errno> {
        open(path, OFlag::O_WRONLY | OFlag::O_CLOEXEC, Mode::empty()).map(ControlFile)
    }

    /// Writes `value` in one piece: the kernel takes a second write for a second command.
    pub(super) fn put(&self, value: &str) -> Result<(), Errno> {
        loop {
            match nix::unistd::write(&self.0, value.as_bytes()) {
                // A signal between the kernel's steps, seen with memory limits that reclaim.
                Err(Errno::EINTR) => {}
                Ok(written) if written < value.len() => return Err(Errno::EIO),
                result => return result.map(drop),
            }
        }
    }
}

/// Writes one value.
pub(super) fn write(path: &Path, value: &str) -> Result<(), Errno> {
    ControlFile::open(path)?.put(value)
}

/// Reads all of a file, however long.
pub(super) fn read(path: &Path) -> Result<String, Errno> {
    let fd = open(path, OFlag::O_RDONLY | OFlag::O_CLOEXEC, Mode::empty())?;
    let mut text = Vec::new();
    let mut piece = [0; 4096];
    loop {
        match nix::unistd::read(&fd, &mut piece) {
            Ok(0) => return Ok(String::from_utf8_lossy(&text).into_owned()),
            Ok(length) => text.extend_from_slice(piece.get(..length).unwrap_or_default()),
            Err(Errno::EINTR) => {}
            Err(e) => return Err(e),
        }
    }
}

/// Reads a file of one value, which the kernel hands out in one piece.
pub(super) fn read_value(path: &Path) -> Result<String, Errno> {
    let fd = open(path, OFlag::O_RDONLY | OFlag::O_CLOEXEC, Mode::empty())?;
    let mut value = [0; 4096];
    let length = nix::unistd::read(&fd, &mut value)?;
    Ok(String::from_utf8_lossy(value.get(..length).unwrap_or_default()).trim_end().to_owned())
}

/// Opens a directory, as `clone3(2)` and `bpf(2)` take it.
pub(super) fn open_directory(path: &Path) -> Result<OwnedFd, Errno> {
    open(path, OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC, Mode::empty())
}

/// The cgroups directly below; none when the directory is gone.
pub(super) fn subdirectories(directory: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(directory).into_iter().flatten().flatten();
    entries.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir())).map(|entry| entry.path()).collect()
}
