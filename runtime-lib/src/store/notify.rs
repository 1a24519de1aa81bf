//! The socket of `sd_notify(3)` that a container's program gets: a directory of the container's own, which is bound into
//! it, so that the socket can be made there when somebody is about to listen.

use super::{Entry, os};
use crate::error::{Error, Result};
use crate::id::ContainerId;
use crate::plan::NOTIFY_SOCKET as SOCKET;
use nix::errno::Errno;
use nix::fcntl::{OFlag, openat};
use nix::sys::stat::{FchmodatFlags, Mode, fchmodat, mkdirat};
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};

/// The directory in a container's directory.
const DIRECTORY: &str = "notify";

impl Entry {
    /// Where the directory is.
    pub(super) fn notify_directory(&self) -> PathBuf {
        self.path.join(DIRECTORY)
    }

    /// Where that of the container `id` below `root` will be.
    pub(crate) fn notify_directory_of(root: &Path, id: &ContainerId) -> PathBuf {
        root.join(id.as_str()).join(DIRECTORY)
    }

    /// Makes the directory.
    pub(crate) fn make_notify_directory(&self) -> Result<()> {
        mkdirat(&self.dir, DIRECTORY, Mode::from_bits_truncate(0o755)).map_err(os("create", &self.notify_directory()))
    }

    /// Makes the socket, anew if there was one; nothing when the container was created without the directory.
    pub(crate) fn bind_notify_socket(&self) -> Result<Option<UnixDatagram>> {
        let path = self.notify_directory();
        let flags = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
        let directory = match openat(&self.dir, DIRECTORY, flags, Mode::empty()) {
            Err(Errno::ENOENT) => return Ok(None),
            directory => directory.map_err(os("open", &path))?,
        };
        match nix::unistd::unlinkat(&directory, SOCKET, nix::unistd::UnlinkatFlags::NoRemoveDir) {
            Ok(()) | Err(Errno::ENOENT) => {}
            Err(errno) => return Err(os("remove", &path.join(SOCKET))(errno)),
        }
        // By the descriptor: an address has room for 107 bytes, which an id alone can fill.
        let address = format!("/proc/self/fd/{}/{SOCKET}", directory.as_raw_fd());
        let failed = |error| Error::os(format!("create {}", path.join(SOCKET).display()), error);
        let socket = UnixDatagram::bind(address).map_err(failed)?;
        // Whatever user the program is. A link that a process of the container has put there meanwhile is not followed: it would
        // lead to a file of the host's.
        fchmodat(&directory, SOCKET, Mode::from_bits_truncate(0o777), FchmodatFlags::NoFollowSymlink)
            .map_err(os("change the mode of", &path.join(SOCKET)))?;
        Ok(Some(socket))
    }
}
