//! `linux.sysctl`: only what belongs to a namespace of the container may be set.

use super::fault::Faults;
use super::namespaces::{Namespace, Namespaces};
use std::collections::{BTreeMap, HashMap};

/// The sysctls of an IPC namespace, see `ipc_namespaces(7)`, but for those below `fs.mqueue`.
const IPC: [&str; 8] = [
    "kernel.msgmax",
    "kernel.msgmnb",
    "kernel.msgmni",
    "kernel.sem",
    "kernel.shm_rmid_forced",
    "kernel.shmall",
    "kernel.shmmax",
    "kernel.shmmni",
];

/// The sysctl's path below `/proc/sys`, as `sysctl(8)` reads a name: the first separator tells whether `.` or `/`
/// separates; the other one is then part of a component, as in `net.ipv4.conf.eth0/100.forwarding`.
pub(crate) fn path(name: &str) -> String {
    if name.find(['.', '/']).is_some_and(|first| name.as_bytes().get(first) == Some(&b'.')) {
        let swapped = name.chars().map(|c| match c {
            '.' => '/',
            '/' => '.',
            c => c,
        });
        swapped.collect()
    } else {
        name.to_owned()
    }
}

/// Checks `linux.sysctl`.
pub(super) fn validate(
    sysctl: &HashMap<String, String>,
    namespaces: &Namespaces,
    faults: &mut Faults,
) -> BTreeMap<String, String> {
    let valid: BTreeMap<String, String> = sysctl.iter().map(|(name, value)| (name.clone(), value.clone())).collect();
    for (name, value) in &valid {
        let mut fault = |why: &str| faults.add(format_args!("linux.sysctl[{name:?}]"), why);
        if let Some(why) = refusal(name, namespaces) {
            fault(&why);
        } else if value.contains('\0') {
            fault("contains a NUL byte");
        }
    }
    valid
}

fn refusal(name: &str, namespaces: &Namespaces) -> Option<String> {
    let path = path(name);
    if path.contains('\0') || path.split('/').any(|part| matches!(part, "" | "." | "..")) {
        return Some("is not the name of a sysctl".to_owned());
    }
    let dotted = path.replace('/', ".");
    let (namespace, which) = if IPC.contains(&dotted.as_str()) || dotted.starts_with("fs.mqueue.") {
        (&namespaces.ipc, "ipc")
    } else if dotted.starts_with("net.") {
        (&namespaces.network, "network")
    } else {
        match dotted.as_str() {
            "kernel.domainname" => (&namespaces.uts, "uts"),
            "kernel.hostname" => return Some("is not allowed as it conflicts with hostname".to_owned()),
            _ => return Some("is not in a separate kernel namespace".to_owned()),
        }
    };
    (*namespace == Namespace::Host).then(|| format!("is not allowed in the host's {which} namespace"))
}

#[cfg(test)]
mod tests {
    use super::path;

    #[test]
    fn the_first_separator_decides() {
        for (name, expected) in [
            ("kernel.msgmax", "kernel/msgmax"),
            ("kernel/msgmax", "kernel/msgmax"),
            ("net.ipv4.conf.eth0/100.forwarding", "net/ipv4/conf/eth0.100/forwarding"),
            ("net/ipv4/conf/eth0.100/forwarding", "net/ipv4/conf/eth0.100/forwarding"),
            ("plain", "plain"),
        ] {
            assert_eq!(path(name), expected);
        }
    }
}
