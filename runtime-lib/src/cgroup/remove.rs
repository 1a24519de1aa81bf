//! Taking the directories away.

use super::create::is_rootless;
use super::found::is_marked;
use super::{Cgroup, devices, files};
use crate::error::{Error, Result};
use nix::dir::{Dir, Type};
use nix::errno::Errno;
use nix::fcntl::{OFlag, openat};
use nix::sys::stat::Mode;
use nix::unistd::{UnlinkatFlags, unlinkat};
use std::ffi::{OsStr, OsString};
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::time::{Duration, Instant};

/// How long a cgroup may stay busy: a killed process leaves it only when the kernel has torn it down, which takes a
/// while for a large one.
const PATIENCE: Duration = Duration::from_secs(10);
const FIRST_PAUSE: Duration = Duration::from_millis(1);
const LONGEST_PAUSE: Duration = Duration::from_millis(100);

impl Cgroup {
    /// Removes the container's directories and the cgroups that it made inside, the deepest first. What is gone already
    /// is no fault. One that is still busy is tried again for up to ten seconds. Directories above are left, as by runc,
    /// and so is what was there before the container.
    ///
    /// # Errors
    /// A directory cannot be removed, `EBUSY` while processes are in it; the others are removed all the same.
    /// One that systemd made is stopped first, if its unit is still the one that was recorded.
    pub fn remove(&self) -> Result<()> {
        if let Some(scope) = &self.scope {
            match scope.stop() {
                Ok(true) => {}
                Ok(false) => return Ok(()),
                // Without systemd there is nobody to ask; what matters is whether anything is left.
                Err(_) if !self.paths.directories().any(|directory| directory.absolute().exists()) => {}
                Err(error) => return Err(error),
            }
        }
        let mut result = Ok(());
        for directory in self.paths.directories() {
            result = result.and(self.remove_but_existed(&directory.absolute()));
        }
        result
    }
}

impl Cgroup {
    /// Removes what a `create` left that was killed before the record said which of the cgroups had been there: those with
    /// the mark of this runtime, if nobody uses them. None of their processes is killed, since they may be somebody else's; an
    /// init of ours has lost its launcher, and is waited for.
    ///
    /// # Errors
    /// Those of [`remove`](Self::remove).
    pub(crate) fn remove_marked(&self) -> Result<()> {
        if self.scope.is_some() {
            self.kill(libc::SIGKILL)?; // the unit has a mark of its own
            return self.remove();
        }
        let mut result = Ok(());
        for directory in self.paths.directories().map(|directory| directory.absolute()) {
            result = result.and(match self.existed.contains(&directory) {
                true => self.detach_rules(&directory),
                false => is_marked(&directory).and_then(|marked| if marked { alone(&directory) } else { Ok(()) }),
            });
        }
        result
    }

    /// Leaves what existed, but without the container's device rules.
    pub(super) fn remove_but_existed(&self, directory: &Path) -> Result<()> {
        if !self.existed.contains(directory) {
            return tree(directory);
        }
        self.detach_rules(directory)?;
        let below = files::subdirectories(directory);
        below.iter().map(|below| self.remove_but_existed(below)).fold(Ok(()), Result::and)
    }

    fn detach_rules(&self, directory: &Path) -> Result<()> {
        if self.paths.unified().is_some_and(|unified| unified.absolute() == directory) {
            match devices::detach(directory) {
                Err(Errno::EPERM) if is_rootless() => {}
                Ok(()) | Err(Errno::ENOENT) => {}
                Err(e) => {
                    let text = format!("detach the eBPF device program from {}", directory.display());
                    return Err(Error::os(text, e));
                }
            }
        }
        Ok(())
    }
}

/// Removes a cgroup and everything below it.
fn tree(directory: &Path) -> Result<()> {
    patiently(directory, || try_tree(directory))
}

/// Removes a cgroup, unless there are others below it.
fn alone(directory: &Path) -> Result<()> {
    patiently(directory, || match remove_directory(directory) {
        Err(Errno::EBUSY | Errno::ENOTEMPTY) if !files::subdirectories(directory).is_empty() => Ok(()),
        result => result,
    })
}

fn patiently(directory: &Path, remove: impl Fn() -> Result<(), Errno>) -> Result<()> {
    let deadline = Instant::now() + PATIENCE;
    let mut pause = FIRST_PAUSE;
    loop {
        match remove() {
            Ok(()) => return Ok(()),
            Err(Errno::EBUSY | Errno::ENOTEMPTY) if Instant::now() < deadline => {}
            Err(e) => return Err(Error::os(format!("rmdir {}", directory.display()), e)),
        }
        std::thread::sleep(pause);
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

/// The directory alone is tried first, which mostly is all there is.
fn try_tree(directory: &Path) -> Result<(), Errno> {
    match remove_directory(directory) {
        Err(Errno::EBUSY | Errno::ENOTEMPTY) => {}
        result => return result,
    }
    match files::open_directory(directory) {
        Ok(opened) => remove_below(opened)?,
        Err(Errno::ENOENT) => return Ok(()),
        Err(e) => return Err(e),
    }
    remove_directory(directory)
}

/// A directory that is to be removed.
struct Name {
    name: OsString,
    /// What was below is removed.
    is_emptied: bool,
}

/// Removes all cgroups below `at`, each by its name in the one above: who may make them can nest them deeper than a path
/// can tell (`PATH_MAX`), or than there are descriptors. They cannot be moved to another place.
fn remove_below(mut at: OwnedFd) -> Result<(), Errno> {
    let mut levels = vec![names(&at)?];
    while let Some(level) = levels.last_mut() {
        let Some(last) = level.last_mut() else {
            levels.pop();
            if !levels.is_empty() {
                at = open_below(&at, OsStr::new(".."))?;
            }
            continue;
        };
        match unlinkat(&at, last.name.as_os_str(), UnlinkatFlags::RemoveDir) {
            Ok(()) | Err(Errno::ENOENT) => drop(level.pop()),
            Err(Errno::EBUSY | Errno::ENOTEMPTY) if !last.is_emptied => {
                last.is_emptied = true;
                match open_below(&at, &last.name) {
                    Ok(child) => {
                        levels.push(names(&child)?);
                        at = child;
                    }
                    Err(Errno::ENOENT) => {}
                    Err(e) => return Err(e),
                }
            }
            Err(e) => return Err(e),
        }
    }
    Ok(())
}

fn open_below(at: &OwnedFd, name: &OsStr) -> Result<OwnedFd, Errno> {
    openat(at, name, OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC, Mode::empty())
}

/// The cgroups directly below; none when it is gone meanwhile.
fn names(directory: &OwnedFd) -> Result<Vec<Name>, Errno> {
    let mut names = Vec::new();
    for entry in Dir::from_fd(open_below(directory, OsStr::new("."))?)?.iter() {
        let entry = match entry {
            Err(Errno::ENOENT) => break,
            entry => entry?,
        };
        let name = OsStr::from_bytes(entry.file_name().to_bytes());
        if entry.file_type() == Some(Type::Directory) && name != "." && name != ".." {
            names.push(Name { name: name.to_owned(), is_emptied: false });
        }
    }
    Ok(names)
}

/// One that is gone already is no fault.
fn remove_directory(directory: &Path) -> Result<(), Errno> {
    match std::fs::remove_dir(directory) {
        Ok(()) => Ok(()),
        Err(e) => match Errno::from_raw(e.raw_os_error().unwrap_or_default()) {
            Errno::ENOENT => Ok(()),
            e => Err(e),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use nix::sys::stat::mkdirat;

    /// Makes `depth` directories, each in the one before; gives the last.
    fn nest(root: &Path, name: &str, depth: usize) -> OwnedFd {
        (0..depth).fold(files::open_directory(root).unwrap(), |at, _| {
            mkdirat(&at, name, Mode::from_bits_truncate(0o755)).unwrap();
            open_below(&at, OsStr::new(name)).unwrap()
        })
    }

    #[test]
    fn a_tree_deeper_than_a_path_can_tell_is_removed() {
        let place = tempfile::tempdir().unwrap();
        let root = place.path().join("cgroup");
        std::fs::create_dir(&root).unwrap();
        nest(&root, &"d".repeat(200), 30);
        // More than there are descriptors.
        nest(&root, "e", 1500);
        for number in 0..20 {
            std::fs::create_dir_all(root.join(format!("wide/{number}/below"))).unwrap();
        }
        tree(&root).unwrap();
        assert!(!root.exists());
        tree(&root).unwrap();
    }

    #[test]
    fn what_stays_busy_far_below_is_told() {
        let place = tempfile::tempdir().unwrap();
        let root = place.path().join("cgroup");
        std::fs::create_dir(&root).unwrap();
        let last = nest(&root, &"d".repeat(200), 30);
        // No directory may be removed that has a file in it, as no cgroup that has a process.
        let flags = OFlag::O_CREAT | OFlag::O_WRONLY | OFlag::O_CLOEXEC;
        drop(openat(&last, "busy", flags, Mode::from_bits_truncate(0o600)).unwrap());
        assert_eq!(try_tree(&root), Err(Errno::ENOTEMPTY));
        unlinkat(&last, "busy", UnlinkatFlags::NoRemoveDir).unwrap();
        assert_eq!(try_tree(&root), Ok(()));
    }
}
