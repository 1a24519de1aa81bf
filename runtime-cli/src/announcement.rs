//! Telling the caller which process a container has become: `--pid-file` and `--pidfd-socket`.

use crate::failure::Failure;
use libcorten::{Container, ExecProcess, Force, console};
use std::ffi::OsString;
use std::fs::File;
use std::io::Write;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};

/// What tells the caller about the container's first process.
pub(crate) struct Announcement {
    pub(crate) pid_file: Option<PathBuf>,
    /// Connected.
    pub(crate) pidfd_socket: Option<UnixStream>,
}

impl Announcement {
    /// Tells; when that fails, nobody knows of the container, so it is deleted again.
    pub(crate) fn make(self, container: Container) -> Result<Container, Failure> {
        let told = match (container.pid(), container.pidfd()) {
            // The name that runc gives to the message of a container's first process.
            (Some(pid), Some(pidfd)) => self.tell(pid, pidfd, "standard"),
            _ => Err(Failure::new("the container ended before its pid was known")),
        };
        match told {
            Ok(()) => Ok(container),
            Err(failure) => Err(delete_after(container, failure)),
        }
    }

    /// Tells about a program that was added to a container; when that fails, it is killed.
    pub(crate) fn make_of_added(self, mut process: ExecProcess) -> Result<ExecProcess, Failure> {
        match self.tell(process.pid(), process.pidfd(), "setns") {
            Ok(()) => Ok(process),
            Err(failure) => {
                // It may have ended by itself.
                let _ = process.signal(libc::SIGKILL);
                let _ = process.wait();
                Err(failure)
            }
        }
    }

    fn tell(self, pid: i32, pidfd: BorrowedFd<'_>, name: &str) -> Result<(), Failure> {
        if let Some(path) = &self.pid_file {
            write_pid_file(path, pid)?;
        }
        if let Some(socket) = &self.pidfd_socket {
            console::send_fd(socket.as_fd(), name, pidfd)?;
        }
        Ok(())
    }
}

/// Deletes a container after a failure, which stays the one to report.
pub(crate) fn delete_after(mut container: Container, failure: Failure) -> Failure {
    match container.delete(Force::Yes) {
        Ok(_) => failure,
        Err(error) => Failure::new(format!("{}; delete the container: {error:#}", failure.message())),
    }
}

/// Refuses what the rename of [`write_pid_file`] would replace: a device or a FIFO that others use. Asked before anything
/// is created.
pub(crate) fn check_pid_file(path: &Path) -> Result<(), Failure> {
    match std::fs::symlink_metadata(path) {
        Ok(meta) if !(meta.is_file() || meta.is_symlink()) => {
            Err(Failure::new(format!("write pid file {}: not a regular file", path.display())))
        }
        _ => Ok(()),
    }
}

/// Writes the number alone, through a temporary file: who sees the file sees all of it.
fn write_pid_file(path: &Path, pid: i32) -> Result<(), Failure> {
    let mut name = OsString::from(".");
    name.push(path.file_name().unwrap_or_default());
    name.push(format!(".{}", std::process::id()));
    let temporary = path.with_file_name(name);
    let written = File::create_new(&temporary)
        .and_then(|mut file| file.write_all(pid.to_string().as_bytes()))
        .and_then(|()| std::fs::rename(&temporary, path));
    written.map_err(|error| {
        // It may not exist: then there is nothing to remove.
        let _ = std::fs::remove_file(&temporary);
        Failure::os(format_args!("write pid file {}", path.display()), &error)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn devices_and_directories_are_no_pid_files() {
        for path in ["/dev/null", "/dev"] {
            let failure = check_pid_file(Path::new(path)).unwrap_err();
            assert_eq!(failure.message(), format!("write pid file {path}: not a regular file"));
        }
        check_pid_file(Path::new("/nonexistent")).unwrap();
    }

    #[test]
    fn the_pid_file_is_replaced_and_nothing_else_is_left() {
        let dir = std::env::temp_dir().join(format!("corten-pid-test-{}", std::process::id()));
        std::fs::create_dir(&dir).unwrap();
        let path = dir.join("pid");
        std::fs::write(&path, "a longer text").unwrap();
        write_pid_file(&path, 42).unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "42");
        std::fs::create_dir(dir.join("directory")).unwrap();
        let failure = write_pid_file(&dir.join("directory"), 42).unwrap_err();
        let left = std::fs::read_dir(&dir).unwrap().count();
        std::fs::remove_dir_all(&dir).unwrap();
        assert_eq!(failure.message(), format!("write pid file {}/directory: Is a directory", dir.display()));
        assert_eq!(left, 2);
    }
}
