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
mod device_list;
pub(crate) mod devices;
mod files;
mod found;
mod freeze;
mod oom;
mod owner;
mod remove;
pub mod stats;
mod systemd;
mod update;

pub use crate::plan::cgroup::{CgroupDirectory, CgroupMount, CgroupPaths, CgroupPlan, Driver};
pub use below::SubCgroup;
pub use create::Made;
pub(crate) use create::RACES;
pub use oom::OomWatch;
pub use stats::Stats;
pub(crate) use systemd::must_run as systemd_must_run;

use crate::error::{Error, Result};
use crate::host::HostCgroups;
use crate::plan::cgroup::{CgroupWrite, DevicePolicy, device_properties, properties_of};
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
    /// The unit, where systemd made them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    scope: Option<systemd::Scope>,
    /// What was there before, with all below it: it is used, but never removed.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    existed: BTreeSet<PathBuf>,
}

impl Cgroup {
    /// The cgroups that `plan` chose; nothing is made yet.
    pub fn chosen(plan: &CgroupPlan) -> Cgroup {
        let scope = plan.systemd.as_ref().map(systemd::Scope::of);
        let driver = if scope.is_some() { Driver::Systemd } else { Driver::Cgroupfs };
        Cgroup { driver, paths: plan.paths.clone(), scope, existed: BTreeSet::new() }
    }

    /// Where they are.
    pub fn paths(&self) -> &CgroupPaths {
        &self.paths
    }

    /// Tells the manager that made the cgroups of limits, and with `devices` of device rules, that are written anew:
    /// systemd would else put its own back the next time that it looks at the unit. Nothing to do for cgroupfs.
    fn tell_manager(&self, writes: &[CgroupWrite], devices: Option<&DevicePolicy>) -> Result<()> {
        let Some(scope) = &self.scope else { return Ok(()) };
        let mut properties = properties_of(writes);
        if self.is_version_1() {
            properties.extend(devices.map(device_properties).unwrap_or_default());
        }
        scope.set(&properties)
    }

    fn is_version_1(&self) -> bool {
        matches!(self.paths, CgroupPaths::V1 { .. } | CgroupPaths::Hybrid { .. })
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
                self.must_be_ours()?;
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
        self.must_be_ours()?;
        self.join_all(pid)
    }

    fn join_all(&self, pid: i32) -> Result<()> {
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
            Some(directory) if self.is_still_ours()? => processes_below(&directory),
            _ => Ok(Vec::new()),
        }
    }

    /// Whether a cgroup that systemd made is there and was not made again for somebody else meanwhile.
    fn is_still_ours(&self) -> Result<bool> {
        match (&self.scope, self.paths.of_systemd()) {
            (Some(scope), Some(directory)) => scope.has_marked(&directory.absolute()),
            _ => Ok(true),
        }
    }

    /// What belongs to somebody else by now is neither changed nor joined.
    fn must_be_ours(&self) -> Result<()> {
        match &self.scope {
            Some(scope) if !self.is_still_ours()? => Err(scope.is_not_ours()),
            _ => Ok(()),
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
