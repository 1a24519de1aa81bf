//! Control groups: making the container's, putting processes into it, and taking it away.
//!
//! What is to be done was decided by [`plan::cgroup`](crate::plan::cgroup), purely; here it is done. A [`Cgroup`] is
//! recorded in the container's state as it was chosen, so that a later command never decides again: the host may have
//! been remounted or the caller moved since.
//!
//! The kernel's interface is plain files (cgroup-v1, cgroup-v2.rst), and creating a container is mostly writing them:
//! every operation here is the open, the write and the close, and nothing before it that asks whether it will work.

mod below;
mod create;
mod devices;
mod files;
mod freeze;
mod oom;
mod remove;
pub mod stats;
mod update;

pub use crate::plan::cgroup::{CgroupDirectory, CgroupMount, CgroupPaths, CgroupPlan, Driver};
pub use below::SubCgroup;
pub use create::Made;
pub use oom::OomWatch;
pub use stats::Stats;

use crate::error::{Error, Result};
use crate::host::HostCgroups;
use nix::errno::Errno;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

/// A container's cgroups, as recorded in its state.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cgroup {
    /// Who made them and is to be asked for changes.
    #[serde(default)]
    driver: Driver,
    /// Where they are.
    #[serde(flatten)]
    paths: CgroupPaths,
}

impl Cgroup {
    /// The cgroups that `plan` chose; nothing is made yet.
    pub fn chosen(plan: &CgroupPlan) -> Cgroup {
        Cgroup { driver: Driver::Cgroupfs, paths: plan.paths.clone() }
    }

    /// Where they are.
    pub fn paths(&self) -> &CgroupPaths {
        &self.paths
    }

    /// What the container's `cgroup` mount shows, one for each hierarchy of `host` in which the container is.
    pub fn mounts(&self, host: &HostCgroups) -> Vec<CgroupMount> {
        self.paths.mounts(host)
    }

    /// On a pure version 2 machine, the directory to give to `clone3(2)` with `CLONE_INTO_CGROUP`: the new process is
    /// in the cgroup from its first instruction and [`join`](Self::join) is not needed. `None` elsewhere.
    ///
    /// # Errors
    /// The directory cannot be opened.
    pub fn clone_fd(&self) -> Result<Option<OwnedFd>> {
        match &self.paths {
            CgroupPaths::V2 { directory } => {
                let path = directory.absolute();
                let fd = files::open_directory(&path).map_err(|e| Error::os(format!("open {}", path.display()), e))?;
                Ok(Some(fd))
            }
            CgroupPaths::V1 { .. } | CgroupPaths::Hybrid { .. } | CgroupPaths::Unmanaged => Ok(None),
        }
    }

    /// Moves the process `pid` (of the caller's pid namespace; 0 is the caller) into every hierarchy.
    ///
    /// # Errors
    /// A write of `cgroup.procs` fails; `ESRCH` when the process is gone.
    pub fn join(&self, pid: i32) -> Result<()> {
        let pid = pid.to_string();
        for directory in self.paths.directories() {
            let procs = directory.absolute().join("cgroup.procs");
            join_through(&procs, &pid).map_err(|e| Error::os(format!("write {pid} to {}", procs.display()), e))?;
        }
        Ok(())
    }

    /// The processes in it and in the cgroups that the container made below, by pid, each once. Empty when the cgroup
    /// is gone. Those of a pid namespace that the caller does not see are left out.
    ///
    /// # Errors
    /// A `cgroup.procs` cannot be read.
    pub fn processes(&self) -> Result<Vec<i32>> {
        match self.counting_directory() {
            Some(directory) => processes_below(&directory),
            None => Ok(Vec::new()),
        }
    }

    /// The directory whose list of processes is taken for all hierarchies: a process can be in another place of
    /// another hierarchy only by its own doing, and then below the container's place there too.
    fn counting_directory(&self) -> Option<PathBuf> {
        let of = |name: &str| self.paths.of_controller(name).map(|(_, directory)| directory);
        let chosen = of("freezer").or_else(|| of("devices")).or_else(|| self.paths.directories().next());
        chosen.map(CgroupDirectory::absolute)
    }
}

/// The kernel answers EINVAL for a moment while the process is between states (runc issue 1755's class): it is asked
/// again a few times.
fn join_through(procs: &Path, pid: &str) -> Result<(), Errno> {
    let mut left = 5;
    loop {
        match files::write(procs, pid) {
            Err(Errno::EINVAL) if left > 0 => left -= 1,
            result => return result,
        }
        std::thread::sleep(std::time::Duration::from_millis(30));
    }
}

/// The pids of `directory` and everything below it, sorted.
fn processes_below(directory: &Path) -> Result<Vec<i32>> {
    let mut pids = BTreeSet::new();
    let mut pending = vec![directory.to_owned()];
    while let Some(directory) = pending.pop() {
        let procs = directory.join("cgroup.procs");
        match files::read(&procs) {
            // 0 stands for a process that has no pid here: to signal it would be to signal ourselves.
            Ok(text) => pids.extend(text.lines().filter_map(|line| line.parse::<i32>().ok()).filter(|&pid| pid > 0)),
            Err(Errno::ENOENT | Errno::ENODEV) => continue,
            // A threaded cgroup: its domain above lists the processes.
            Err(Errno::EOPNOTSUPP) => {}
            Err(e) => return Err(Error::os(format!("read {}", procs.display()), e)),
        }
        pending.extend(files::subdirectories(&directory));
    }
    Ok(pids.into_iter().collect())
}
