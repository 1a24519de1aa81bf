//! Device nodes and the links in /dev.

use super::NamespacePlan;
use crate::spec::{Device, DeviceKind, MountKind, ValidSpec};
use serde::Serialize;

/// What is made in /dev.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Devices {
    /// Nodes are bound from the host: in a user namespace they cannot be made.
    pub bind: bool,
    /// The nodes, in order.
    pub nodes: Vec<DeviceNode>,
    /// The links, in order.
    pub links: Vec<DeviceLink>,
}

/// A device node.
pub type DeviceNode = Device;

/// A symbolic link.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct DeviceLink {
    /// What it says.
    pub target: &'static str,
    /// Where it is.
    pub path: &'static str,
    /// Only if this exists on the host.
    pub only_if: Option<&'static str>,
    /// What else is there is replaced.
    pub replace: bool,
}

/// The devices that every container has (runtime-spec, *Default Devices*).
const DEFAULT: [(&str, u32, u32); 6] = [
    ("/dev/null", 1, 3),
    ("/dev/zero", 1, 5),
    ("/dev/full", 1, 7),
    ("/dev/random", 1, 8),
    ("/dev/urandom", 1, 9),
    ("/dev/tty", 5, 0),
];

const LINKS: [DeviceLink; 6] = [
    DeviceLink { target: "pts/ptmx", path: "/dev/ptmx", only_if: None, replace: true },
    DeviceLink { target: "/proc/self/fd", path: "/dev/fd", only_if: None, replace: false },
    DeviceLink { target: "/proc/self/fd/0", path: "/dev/stdin", only_if: None, replace: false },
    DeviceLink { target: "/proc/self/fd/1", path: "/dev/stdout", only_if: None, replace: false },
    DeviceLink { target: "/proc/self/fd/2", path: "/dev/stderr", only_if: None, replace: false },
    DeviceLink { target: "/proc/kcore", path: "/dev/core", only_if: Some("/proc/kcore"), replace: false },
];

pub(super) fn lower(spec: &ValidSpec, namespaces: &NamespacePlan) -> Devices {
    // A /dev that is bound from the host is the host's: it gets no nodes and no links.
    if spec.mounts.iter().any(|mount| mount.destination == "/dev" && matches!(mount.kind, MountKind::Bind { .. })) {
        return Devices::default();
    }
    let configured = |path: &str| spec.devices.iter().any(|device| device.path == path);
    let default = DEFAULT.iter().filter(|(path, ..)| !configured(path)).map(|(path, major, minor)| Device {
        index: None,
        path: (*path).to_owned(),
        kind: DeviceKind::Char,
        major: *major,
        minor: *minor,
        mode: 0o666,
        uid: 0,
        gid: 0,
    });
    // /dev/ptmx is the link to the container's own devpts, whatever is configured (runc leaves it out as well).
    let configured = spec.devices.iter().filter(|device| device.path != "/dev/ptmx").cloned();
    Devices { bind: namespaces.has_user_namespace(), nodes: default.chain(configured).collect(), links: LINKS.to_vec() }
}
