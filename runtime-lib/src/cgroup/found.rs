//! Cgroups of the container's path that are there before it: they are used if nobody else uses them, and never removed.
//!
//! `mkdir(2)` tells what is there, and the record is written anew then. A `create` that is killed in between leaves a record
//! that does not say it. The one call that makes a cgroup and marks it at once is `mkdir(2)` itself, so the mark is in the mode:
//! the sticky bit, which changes nothing for a directory in which only its owner may write.

use super::{Cgroup, files, processes_below};
use crate::error::{Error, Result};
use nix::errno::Errno;
use nix::sys::stat::Mode;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// The mode of a container's own cgroup.
pub(super) const MARKED: Mode = Mode::from_bits_truncate(0o1755);

/// Whether a container's cgroup was made by this runtime, for whatever container.
pub(super) fn is_marked(directory: &Path) -> Result<bool> {
    match nix::sys::stat::stat(directory) {
        Ok(stat) => Ok(Mode::from_bits_truncate(stat.st_mode).contains(Mode::S_ISVTX)),
        Err(Errno::ENOENT) => Ok(false),
        Err(e) => Err(Error::os(format!("examine {}", directory.display()), e)),
    }
}

impl Cgroup {
    /// Notes that one of the container's cgroups was there, with what is below it.
    pub(super) fn note_existing(&mut self, directory: &Path) {
        everything_below(directory, &mut self.existed);
    }
}

/// A cgroup and all below it.
fn everything_below(directory: &Path, found: &mut BTreeSet<PathBuf>) {
    files::subdirectories(directory).iter().for_each(|below| everything_below(below, found));
    found.insert(directory.to_owned());
}

/// An existing cgroup is used if nobody else uses it: to remove the container would be to kill what is in it.
pub(super) fn may_be_taken_over(path: &Path) -> Result<()> {
    let inside = processes_below(path)?.len();
    if inside > 0 {
        let text = format!("container's cgroup is not empty: {inside} process(es) found in {}", path.display());
        return Err(Error::config("linux.cgroupsPath", text));
    }
    if super::freeze::directory_is_frozen(path)? {
        let text = format!("container's cgroup unexpectedly frozen: {}", path.display());
        return Err(Error::config("linux.cgroupsPath", text));
    }
    Ok(())
}
