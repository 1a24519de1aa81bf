//! `linux.netDevices`.

use super::fault::Faults;
use super::{Namespace, Namespaces};
use oci_spec::runtime::LinuxNetDevice;
use serde::Serialize;
use std::collections::{BTreeMap, HashMap};

/// A device of the host that moves into the container's network namespace.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct NetDevice {
    /// Its name on the host.
    pub host_name: String,
    /// `name`: what it is called in the container.
    pub name: String,
}

/// The kernel's longest name, `IFNAMSIZ` without the NUL.
const LONGEST: usize = 15;

/// Checks `linux.netDevices`; sorted by the name on the host.
pub(super) fn validate(
    devices: &HashMap<String, LinuxNetDevice>,
    namespaces: &Namespaces,
    faults: &mut Faults,
) -> Vec<NetDevice> {
    if !devices.is_empty() && namespaces.network == Namespace::Host {
        faults.add("linux.netDevices", "unable to move network devices without a private network namespace");
    }
    let mut seen: BTreeMap<String, String> = BTreeMap::new();
    let mut valid = Vec::with_capacity(devices.len());
    for (host_name, device) in devices.iter().collect::<BTreeMap<_, _>>() {
        let at = format!("linux.netDevices[{host_name:?}]");
        let name = device.name().clone().filter(|name| !name.is_empty()).unwrap_or_else(|| host_name.clone());
        if !is_name(host_name) {
            faults.add(&at, "is not a name of a network device");
        } else if !is_name(&name) {
            faults.add(format_args!("{at}.name"), format!("{name:?} is not a name of a network device"));
        }
        if let Some(other) = seen.insert(name.clone(), host_name.clone()) {
            faults.add(format_args!("{at}.name"), format!("{name:?} is also what {other:?} is called"));
        }
        valid.push(NetDevice { host_name: host_name.clone(), name });
    }
    valid
}

/// What the kernel takes, see `dev_valid_name`; a `%` would make it choose a name itself.
fn is_name(name: &str) -> bool {
    let forbidden = |c: u8| c == b'/' || c == b':' || c == b'%' || c.is_ascii_whitespace() || c == 0x0b || c == 0;
    !name.is_empty() && name.len() <= LONGEST && name != "." && name != ".." && !name.bytes().any(forbidden)
}
