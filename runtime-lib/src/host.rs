//! Facts about the machine, probed once and given to the plan, so that a plan can be computed for any machine in a test.

mod calls;
mod cgroups;
mod resctrl;

pub(crate) use calls::name_missing;
pub use calls::{KernelCall, kernel_calls};
pub use cgroups::{Hierarchy, HostCgroups};
pub use resctrl::Resctrl;

use crate::error::Result;
use serde::Serialize;

/// What the plan needs to know about the machine.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Host {
    /// The cgroup hierarchies.
    pub cgroups: HostCgroups,
    /// The caller's effective user id.
    pub euid: u32,
    /// The `resctrl` file system, if it was looked for and is mounted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub resctrl: Option<Resctrl>,
}

impl Host {
    /// Looks at this machine.
    ///
    /// # Errors
    /// Its cgroup hierarchies cannot be read.
    pub fn probe() -> Result<Host> {
        Ok(Host { cgroups: HostCgroups::probe()?, euid: nix::unistd::geteuid().as_raw(), resctrl: None })
    }

    /// As [`probe`](Self::probe), without what only a plan asks for whose cgroup is told from the caller's own.
    ///
    /// # Errors
    /// As for [`probe`](Self::probe).
    pub(crate) fn probe_for_absolute_path() -> Result<Host> {
        let cgroups = HostCgroups::probe_for_absolute_path()?;
        Ok(Host { cgroups, euid: nix::unistd::geteuid().as_raw(), resctrl: None })
    }
}
