//! The file system through which processors share out caches and memory bandwidth, see resctrl.rst of the kernel.
//!
//! It is looked for only when a configuration asks for it: nobody else pays for it.

use super::cgroups::unescape;
use nix::sys::statfs::{FsType, statfs};
use serde::Serialize;
use std::path::Path;

/// A mounted `resctrl` file system.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Resctrl {
    /// Where it is mounted, such as `/sys/fs/resctrl`.
    pub mount_point: String,
    /// The L3 cache can be shared out (Intel's CAT).
    pub l3_cache: bool,
    /// Memory bandwidth can be shared out (MBA).
    pub memory_bandwidth: bool,
    /// Use of the cache or the bandwidth can be measured (CMT, MBM).
    pub monitoring: bool,
}

/// `RDTGROUP_SUPER_MAGIC` of linux/magic.h.
const MAGIC: u32 = 0x0765_5821;
/// Where everybody mounts it.
const USUAL: &str = "/sys/fs/resctrl";

impl Resctrl {
    /// The one of this machine; none when none is mounted.
    pub fn probe() -> Option<Resctrl> {
        let usual = statfs(USUAL).is_ok_and(|facts| facts.filesystem_type() == FsType(MAGIC.into()));
        if usual {
            return Some(Resctrl::at(USUAL));
        }
        let mounts = std::fs::read_to_string("/proc/self/mountinfo").ok()?;
        mount_point(&mounts).map(|path| Resctrl::at(&path))
    }

    /// The one that is mounted at `mount_point`: what it has is told by its directory `info`.
    pub fn at(mount_point: &str) -> Resctrl {
        let has = |name: &str| Path::new(mount_point).join("info").join(name).exists();
        Resctrl {
            mount_point: mount_point.to_owned(),
            // With code and data prioritisation there are two in the place of one.
            l3_cache: has("L3") || has("L3CODE"),
            memory_bandwidth: has("MB"),
            monitoring: has("L3_MON"),
        }
    }
}

/// The mount of that type in a mountinfo text, see `proc_pid_mountinfo(5)`.
fn mount_point(text: &str) -> Option<String> {
    let mount = text.lines().find_map(|line| {
        let (mount, filesystem) = line.split_once(" - ")?;
        filesystem.starts_with("resctrl ").then_some(mount)
    })?;
    mount.split(' ').nth(4).map(unescape)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unusual_mount_point_is_found_in_mountinfo() {
        let text = "30 1 0:5 / /dev rw - devtmpfs none rw\n31 30 0:40 / /cache\\040control rw - resctrl none rw\n";
        assert_eq!(mount_point(text).as_deref(), Some("/cache control"));
        assert_eq!(mount_point("30 1 0:5 / /resctrl rw - tmpfs resctrl rw\n"), None);
    }

    #[test]
    fn what_it_has_is_told_by_info() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().to_str().unwrap();
        let found = |names: &[&str]| {
            names.iter().for_each(|name| std::fs::create_dir_all(dir.path().join("info").join(name)).unwrap());
            let resctrl = Resctrl::at(root);
            (resctrl.l3_cache, resctrl.memory_bandwidth, resctrl.monitoring)
        };
        assert_eq!(found(&[]), (false, false, false));
        assert_eq!(found(&["L3CODE", "L3DATA"]), (true, false, false));
        assert_eq!(found(&["MB", "L3_MON"]), (true, true, true));
    }
}
