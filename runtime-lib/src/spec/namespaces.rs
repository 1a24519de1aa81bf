//! `linux.namespaces` and the id mappings.

use super::fault::Faults;
use super::process::User;
use oci_spec::runtime::{LinuxIdMapping, LinuxNamespace, LinuxNamespaceType, LinuxTimeOffset};
use serde::Serialize;
use std::collections::HashMap;

/// The kernel takes at most this many extents, see `user_namespaces(7)`.
const MOST_EXTENTS: usize = 340;

/// The kinds of namespace, see `namespaces(7)`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum NamespaceKind {
    /// `user`.
    User,
    /// `pid`.
    Pid,
    /// `network`.
    Network,
    /// `ipc`.
    Ipc,
    /// `uts`.
    Uts,
    /// `mount`.
    Mount,
    /// `cgroup`.
    Cgroup,
    /// `time`.
    Time,
}

/// What the container gets of one kind.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Namespace {
    /// The kind is not listed: that of the runtime.
    #[default]
    Host,
    /// Listed without a path: a new one.
    New,
    /// Listed with a path: an existing one.
    Join {
        /// Its place in `linux.namespaces`.
        index: usize,
        /// Its path on the host.
        path: String,
    },
}

/// `linux.namespaces`, by kind.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[allow(missing_docs, reason = "a field for each kind")]
pub struct Namespaces {
    pub user: Namespace,
    pub pid: Namespace,
    pub network: Namespace,
    pub ipc: Namespace,
    pub uts: Namespace,
    pub mount: Namespace,
    pub cgroup: Namespace,
    pub time: Namespace,
}

/// One extent of an id mapping, see `user_namespaces(7)`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct IdMap {
    /// `containerID`.
    pub inside: u32,
    /// `hostID`.
    pub outside: u32,
    /// `size`, at least 1.
    pub size: u32,
}

impl IdMap {
    /// What the id `inside` is outside, if this extent has it.
    pub(crate) fn outside(&self, inside: u32) -> Option<u32> {
        let offset = inside.checked_sub(self.inside).filter(|&offset| offset < self.size)?;
        self.outside.checked_add(offset)
    }
}

/// By how much a clock of a new time namespace differs from the caller's, see `time_namespaces(7)`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct TimeOffset {
    /// `monotonic` or `boottime`.
    pub clock: String,
    /// `secs`.
    pub secs: i64,
    /// `nanosecs`.
    pub nanosecs: u32,
}

impl Namespaces {
    /// Checks `linux.namespaces`.
    pub(super) fn validate(namespaces: &[LinuxNamespace], faults: &mut Faults) -> Namespaces {
        let mut valid = Namespaces::default();
        for (i, namespace) in namespaces.iter().enumerate() {
            let slot = valid.slot(namespace.typ());
            if *slot != Namespace::Host {
                let message = format!("duplicated namespace {:?}", name(namespace.typ()));
                faults.add(format_args!("linux.namespaces[{i}].type"), message);
            }
            *slot = match namespace.path().as_deref() {
                Some(path) if !path.as_os_str().is_empty() => {
                    let path = faults.absolute(format_args!("linux.namespaces[{i}].path"), path);
                    Namespace::Join { index: i, path }
                }
                _ => Namespace::New,
            };
        }
        valid
    }

    fn slot(&mut self, kind: LinuxNamespaceType) -> &mut Namespace {
        match kind {
            LinuxNamespaceType::User => &mut self.user,
            LinuxNamespaceType::Pid => &mut self.pid,
            LinuxNamespaceType::Network => &mut self.network,
            LinuxNamespaceType::Ipc => &mut self.ipc,
            LinuxNamespaceType::Uts => &mut self.uts,
            LinuxNamespaceType::Mount => &mut self.mount,
            LinuxNamespaceType::Cgroup => &mut self.cgroup,
            LinuxNamespaceType::Time => &mut self.time,
        }
    }
}

fn name(kind: LinuxNamespaceType) -> &'static str {
    match kind {
        LinuxNamespaceType::User => "user",
        LinuxNamespaceType::Pid => "pid",
        LinuxNamespaceType::Network => "network",
        LinuxNamespaceType::Ipc => "ipc",
        LinuxNamespaceType::Uts => "uts",
        LinuxNamespaceType::Mount => "mount",
        LinuxNamespaceType::Cgroup => "cgroup",
        LinuxNamespaceType::Time => "time",
    }
}

/// Checks the mappings of a new user namespace, `location` being `linux.uidMappings` or `linux.gidMappings`.
pub(super) fn id_maps(location: &str, mappings: &[LinuxIdMapping], faults: &mut Faults) -> Vec<IdMap> {
    let ids = if location.ends_with("uidMappings") { "uid" } else { "gid" };
    if mappings.is_empty() {
        faults.add(location, format!("user namespace enabled, but no {ids} mappings found"));
        return Vec::new();
    }
    extents(location, mappings, faults)
}

/// Checks the extents of any mapping.
pub(super) fn extents(location: &str, mappings: &[LinuxIdMapping], faults: &mut Faults) -> Vec<IdMap> {
    if mappings.len() > MOST_EXTENTS {
        faults.add(location, format!("{} mappings, the kernel takes at most {MOST_EXTENTS}", mappings.len()));
        return Vec::new();
    }
    let mut maps: Vec<IdMap> = Vec::with_capacity(mappings.len());
    for (i, mapping) in mappings.iter().enumerate() {
        let map = IdMap { inside: mapping.container_id(), outside: mapping.host_id(), size: mapping.size() };
        if map.size == 0 {
            faults.add(format_args!("{location}[{i}].size"), "is zero");
        }
        // The last id of a range must be below 2^32 - 1, which is no id.
        for (name, first) in [("containerID", map.inside), ("hostID", map.outside)] {
            if first.checked_add(map.size).is_none() {
                let message = format!("{first} and {} more do not fit into 32 bits", map.size);
                faults.add(format_args!("{location}[{i}].{name}"), message);
            }
        }
        for (j, earlier) in maps.iter().enumerate() {
            for (name, overlap) in [
                ("containerID", overlap(map.inside, map.size, earlier.inside, earlier.size)),
                ("hostID", overlap(map.outside, map.size, earlier.outside, earlier.size)),
            ] {
                if overlap {
                    faults.add(format_args!("{location}[{i}].{name}"), format!("overlaps {location}[{j}]"));
                }
            }
        }
        maps.push(map);
    }
    maps
}

/// Checks `linux.timeOffsets`.
pub(super) fn time_offsets(
    offsets: Option<&HashMap<String, LinuxTimeOffset>>,
    namespaces: &Namespaces,
    faults: &mut Faults,
) -> Vec<TimeOffset> {
    let Some(offsets) = offsets.filter(|offsets| !offsets.is_empty()) else { return Vec::new() };
    match namespaces.time {
        Namespace::New => {}
        Namespace::Host => faults.add("linux.timeOffsets", "are given, but no time namespace"),
        // The kernel takes offsets only before the first process is in the namespace.
        Namespace::Join { .. } => faults.add("linux.timeOffsets", "cannot be set in a time namespace that exists"),
    }
    let mut valid: Vec<TimeOffset> = Vec::with_capacity(offsets.len());
    for (clock, offset) in offsets {
        if clock != "monotonic" && clock != "boottime" {
            faults.add(format_args!("linux.timeOffsets[{clock:?}]"), "is neither monotonic nor boottime");
        }
        let (secs, nanosecs) = (offset.secs().unwrap_or(0), offset.nanosecs().unwrap_or(0));
        if nanosecs >= 1_000_000_000 {
            let message = format!("{nanosecs} is not below 1000000000");
            faults.add(format_args!("linux.timeOffsets[{clock:?}].nanosecs"), message);
        }
        valid.push(TimeOffset { clock: clock.clone(), secs, nanosecs });
    }
    valid.sort_unstable_by(|a, b| a.clock.cmp(&b.clock));
    valid
}

fn overlap(a: u32, a_size: u32, b: u32, b_size: u32) -> bool {
    let (a, b) = (u64::from(a), u64::from(b));
    a < b + u64::from(b_size) && b < a + u64::from(a_size)
}

/// Checks that a new user namespace has an id for the user and groups of the program.
pub(super) fn mapped(uids: &[IdMap], gids: &[IdMap], user: Option<&User>, faults: &mut Faults) {
    let covers = |maps: &[IdMap], id: u32| maps.iter().any(|map| id >= map.inside && id - map.inside < map.size);
    let Some(user) = user else { return };
    if !uids.is_empty() && !covers(uids, user.uid) {
        faults.add("process.user.uid", format!("{} is not mapped by linux.uidMappings", user.uid));
    }
    if gids.is_empty() {
        return;
    }
    if !covers(gids, user.gid) {
        faults.add("process.user.gid", format!("{} is not mapped by linux.gidMappings", user.gid));
    }
    for (i, &gid) in user.additional_gids.iter().enumerate().filter(|&(_, &gid)| !covers(gids, gid)) {
        let message = format!("{gid} is not mapped by linux.gidMappings");
        faults.add(format_args!("process.user.additionalGids[{i}]"), message);
    }
}
