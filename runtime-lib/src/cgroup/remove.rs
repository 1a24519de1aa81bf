//! Taking the directories away.

use super::create::is_rootless;
use super::{Cgroup, devices, files};
use crate::error::{Error, Result};
use nix::errno::Errno;
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
    /// Leaves what existed, but without the container's device rules.
    pub(super) fn remove_but_existed(&self, directory: &Path) -> Result<()> {
        if !self.existed.contains(directory) {
            return tree(directory);
        }
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
        let below = files::subdirectories(directory);
        below.iter().map(|below| self.remove_but_existed(below)).fold(Ok(()), Result::and)
    }
}

/// Removes a cgroup and everything below it.
fn tree(directory: &Path) -> Result<()> {
    let deadline = Instant::now() + PATIENCE;
    let mut pause = FIRST_PAUSE;
    loop {
        match try_tree(directory) {
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
    let rmdir = || match std::fs::remove_dir(directory) {
        Ok(()) => Ok(()),
        Err(e) => match Errno::from_raw(e.raw_os_error().unwrap_or_default()) {
            Errno::ENOENT => Ok(()),
            e => Err(e),
        },
    };
    match rmdir() {
        Err(Errno::EBUSY | Errno::ENOTEMPTY) => {}
        result => return result,
    }
    for below in files::subdirectories(directory) {
        try_tree(&below)?;
    }
    rmdir()
}
