//! Which directory of each hierarchy is the container's.

use crate::error::{Error, Result};
use crate::host::{Hierarchy, HostCgroups};
use crate::id::ContainerId;
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// The version 1 hierarchies that containers are placed in; others (`name=elogind`, …) belong to somebody else.
const KNOWN: [&str; 15] = [
    "cpuset",
    "devices",
    "memory",
    "cpu",
    "cpuacct",
    "pids",
    "blkio",
    "hugetlb",
    "net_cls",
    "net_prio",
    "perf_event",
    "freezer",
    "rdma",
    "misc",
    "name=systemd",
];

/// Where the container's cgroups are, as chosen at create and recorded for every later command.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "version", rename_all = "lowercase")]
pub enum CgroupPaths {
    /// Version 1 only.
    V1 {
        /// One for each hierarchy.
        directories: Vec<CgroupDirectory>,
    },
    /// Version 1, and version 2 without the controllers that are in use there.
    Hybrid {
        /// One for each version 1 hierarchy.
        directories: Vec<CgroupDirectory>,
        /// The one of version 2.
        unified: CgroupDirectory,
    },
    /// Version 2 only.
    V2 {
        /// The one.
        directory: CgroupDirectory,
    },
    /// None: the caller may not make cgroups and the configuration does not insist.
    Unmanaged,
}

/// The container's directory in one hierarchy.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CgroupDirectory {
    /// As [`Hierarchy::controllers`].
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub controllers: Vec<String>,
    /// As [`Hierarchy::mount_point`].
    pub mount_point: String,
    /// Below the mount point, such as `/user.slice/web-1`: begins with a slash, has no `.` or `..`, is never the root.
    pub path: String,
}

/// What the container's `cgroup` mount shows of one hierarchy.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct CgroupMount {
    /// As [`Hierarchy::controllers`].
    pub controllers: Vec<String>,
    /// Where the host has the hierarchy, such as `/sys/fs/cgroup/memory`.
    pub mount_point: String,
    /// The container's directory in it, an absolute path of the host.
    pub directory: PathBuf,
}

impl CgroupDirectory {
    /// The absolute path.
    pub fn absolute(&self) -> PathBuf {
        PathBuf::from(format!("{}{}", self.mount_point, self.path))
    }

    fn is_for(&self, hierarchy: &Hierarchy) -> bool {
        self.controllers == hierarchy.controllers
    }
}

impl CgroupPaths {
    /// All directories: those of version 1 in the host's order, then that of version 2.
    pub fn directories(&self) -> impl DoubleEndedIterator<Item = &CgroupDirectory> {
        let (v1, v2): (&[CgroupDirectory], _) = match self {
            CgroupPaths::V1 { directories } => (directories, None),
            CgroupPaths::Hybrid { directories, unified } => (directories, Some(unified)),
            CgroupPaths::V2 { directory } => (&[], Some(directory)),
            CgroupPaths::Unmanaged => (&[], None),
        };
        v1.iter().chain(v2)
    }

    /// As [`directories`](Self::directories), to be changed.
    pub(crate) fn directories_mut(&mut self) -> Vec<&mut CgroupDirectory> {
        match self {
            CgroupPaths::V1 { directories } => directories.iter_mut().collect(),
            CgroupPaths::Hybrid { directories, unified } => directories.iter_mut().chain([unified]).collect(),
            CgroupPaths::V2 { directory } => vec![directory],
            CgroupPaths::Unmanaged => Vec::new(),
        }
    }

    /// The version 2 directory, alone or beside version 1.
    pub fn unified(&self) -> Option<&CgroupDirectory> {
        match self {
            CgroupPaths::Hybrid { unified: directory, .. } | CgroupPaths::V2 { directory } => Some(directory),
            CgroupPaths::V1 { .. } | CgroupPaths::Unmanaged => None,
        }
    }

    /// The directory in the hierarchy by which systemd knows its units: version 2's where there is one, since version 233
    /// also beside version 1.
    pub fn of_systemd(&self) -> Option<&CgroupDirectory> {
        self.unified().or_else(|| self.of_controller("name=systemd").map(|(_, directory)| directory))
    }

    /// The version 1 directory of a controller, and its place among [`directories`](Self::directories).
    pub fn of_controller(&self, controller: &str) -> Option<(usize, &CgroupDirectory)> {
        self.directories().enumerate().find(|(_, directory)| directory.controllers.iter().any(|c| c == controller))
    }

    /// What a mount of type `cgroup` has to show: for each hierarchy of `host` in which the container is.
    pub fn mounts(&self, host: &HostCgroups) -> Vec<CgroupMount> {
        let hierarchies = host.v1.iter().chain(&host.v2);
        hierarchies
            .filter_map(|hierarchy| {
                let own = self.directories().find(|directory| directory.is_for(hierarchy))?;
                Some(CgroupMount {
                    controllers: hierarchy.controllers.clone(),
                    mount_point: hierarchy.mount_point.clone(),
                    directory: own.absolute(),
                })
            })
            .collect()
    }

    /// As runc: an absolute path counts from the root of each hierarchy, a relative one (or by default the id) from
    /// the caller's own cgroup. On a pure version 2 machine it counts from the parent of that, because the caller's
    /// own cgroup has a process in it and so cannot hand out controllers (cgroup-v2.rst, *no internal processes*).
    pub(super) fn choose(configured: Option<&str>, host: &HostCgroups, id: &ContainerId) -> Result<CgroupPaths> {
        let path = match configured {
            Some(path) => cleaned(path)?,
            None => id.as_str().to_owned(),
        };
        let place = |hierarchy: &Hierarchy, own_path: &str| CgroupDirectory {
            controllers: hierarchy.controllers.clone(),
            mount_point: hierarchy.mount_point.clone(),
            path: match path.strip_prefix('/') {
                Some(_) => path.clone(),
                None => format!("{}/{path}", own_path.trim_end_matches('/')),
            },
        };
        let directories: Vec<_> = known(host).map(|h| place(h, &h.own_path)).collect();
        Ok(match &host.v2 {
            Some(v2) if directories.is_empty() => {
                let parent = v2.own_path.rsplit_once('/').map_or("", |(parent, _)| parent);
                CgroupPaths::V2 { directory: place(v2, parent) }
            }
            Some(v2) => CgroupPaths::Hybrid { directories, unified: place(v2, &v2.own_path) },
            None => CgroupPaths::V1 { directories },
        })
    }
}

fn known(host: &HostCgroups) -> impl Iterator<Item = &Hierarchy> {
    host.v1.iter().filter(|hierarchy| hierarchy.controllers.iter().any(|name| KNOWN.contains(&name.as_str())))
}

/// The same absolute path in each hierarchy.
pub(super) fn same_in_all(host: &HostCgroups, path: &str) -> CgroupPaths {
    let place = |hierarchy: &Hierarchy| CgroupDirectory {
        controllers: hierarchy.controllers.clone(),
        mount_point: hierarchy.mount_point.clone(),
        path: path.to_owned(),
    };
    let directories: Vec<_> = known(host).map(place).collect();
    match host.v2.as_ref().map(place) {
        Some(directory) if directories.is_empty() => CgroupPaths::V2 { directory },
        Some(unified) => CgroupPaths::Hybrid { directories, unified },
        None => CgroupPaths::V1 { directories },
    }
}

/// Without `.` and doubled slashes. A `..` is refused rather than resolved: there is no use for it but to reach
/// another container's cgroup.
fn cleaned(path: &str) -> Result<String> {
    let fault = |text: &str| Err(Error::config("linux.cgroupsPath", format!("{path:?} {text}")));
    if path.bytes().any(|byte| byte == 0 || byte == b'\n') {
        return fault("has a NUL byte or a newline");
    }
    let components: Vec<&str> = path.split('/').filter(|c| !c.is_empty() && *c != ".").collect();
    if components.contains(&"..") {
        return fault("has a .. component");
    }
    if components.is_empty() {
        return fault("names no cgroup below the root of the hierarchy");
    }
    let absolute = if path.starts_with('/') { "/" } else { "" };
    Ok(format!("{absolute}{}", components.join("/")))
}
