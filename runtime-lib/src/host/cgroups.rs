//! Which cgroup hierarchies the machine has, and where the caller is in them; see `cgroups(7)`.
//!
//! `/proc/self/mountinfo` would tell it all, but it grows with every container and mount of the host, so it is read
//! only on a machine that does not mount its hierarchies where everybody does (`/sys/fs/cgroup/NAME`). There one
//! `statfs(2)` per hierarchy confirms both the mount point and the caller's own cgroup below it.

use crate::error::{Error, ErrorKind, Result};
use nix::errno::Errno;
use nix::sys::statfs::{CGROUP_SUPER_MAGIC, CGROUP2_SUPER_MAGIC, FsType, statfs};
use serde::Serialize;
use std::io::Read as _;

/// Where the hierarchies are mounted by convention.
const ROOT: &str = "/sys/fs/cgroup";

/// The cgroup hierarchies of the machine.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct HostCgroups {
    /// The version 1 hierarchies, in the order of `/proc/self/cgroup`; empty on a pure version 2 machine.
    pub v1: Vec<Hierarchy>,
    /// The version 2 hierarchy, if mounted.
    pub v2: Option<Hierarchy>,
}

/// One cgroup hierarchy.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Hierarchy {
    /// Version 1: the controllers, such as `["cpu", "cpuacct"]`, or `["name=systemd"]`. Version 2: empty.
    pub controllers: Vec<String>,
    /// Where it is mounted, such as `/sys/fs/cgroup/memory`.
    pub mount_point: String,
    /// The caller's own cgroup in it, relative to the mount point, such as `/user.slice`.
    pub own_path: String,
}

impl HostCgroups {
    /// Whether only version 2 is in use.
    pub fn is_unified(&self) -> bool {
        self.v1.is_empty() && self.v2.is_some()
    }

    /// Looks at the machine. A hierarchy that is not mounted anywhere is left out.
    ///
    /// # Errors
    /// `/proc/self/cgroup` cannot be read, or no hierarchy is mounted at all.
    pub fn probe() -> Result<HostCgroups> {
        HostCgroups::probe_all(is_mounted(ROOT, CGROUP2_SUPER_MAGIC)?)
    }

    /// On a pure version 2 machine that takes one system call, and the caller is said to be in the root.
    pub(super) fn probe_for_absolute_path() -> Result<HostCgroups> {
        match is_mounted(ROOT, CGROUP2_SUPER_MAGIC)? {
            true => Ok(HostCgroups { v1: Vec::new(), v2: Some(Hierarchy::new(&[], ROOT, "/")) }),
            false => HostCgroups::probe_all(false),
        }
    }

    fn probe_all(unified: bool) -> Result<HostCgroups> {
        let own = read_own().map_err(|e| Error::os("read /proc/self/cgroup", e))?;
        let memberships = memberships(&own);
        let unified_path = memberships.iter().find(|m| m.controllers.is_empty()).map_or("/", |m| m.own_path);
        if unified {
            return Ok(HostCgroups { v1: Vec::new(), v2: Some(Hierarchy::new(&[], ROOT, unified_path)) });
        }
        let mut mounts: Option<Vec<MountedHierarchy>> = None;
        let mut v1 = Vec::with_capacity(memberships.len());
        for membership in memberships.iter().filter(|m| !m.controllers.is_empty()) {
            let by_convention = membership.by_convention();
            if is_mounted(&by_convention.own_directory(), CGROUP_SUPER_MAGIC)? {
                v1.push(by_convention);
                continue;
            }
            if mounts.is_none() {
                mounts = Some(read_mounts()?);
            }
            v1.extend(membership.among(mounts.as_deref().unwrap_or_default()));
        }
        let unified = format!("{ROOT}/unified");
        let v2 = is_mounted(&unified, CGROUP2_SUPER_MAGIC)?.then(|| Hierarchy::new(&[], &unified, unified_path));
        if v1.is_empty() && v2.is_none() {
            return Err(Error::new(ErrorKind::Unsupported, format!("no cgroup hierarchy is mounted at {ROOT}")));
        }
        Ok(HostCgroups { v1, v2 })
    }
}

impl Hierarchy {
    fn new(controllers: &[&str], mount_point: &str, own_path: &str) -> Hierarchy {
        // A caller outside of its cgroup namespace's root sees its own cgroup as /..: nothing of that can be reached
        // through the mount, the nearest that can is the root.
        let outside = own_path.split('/').any(|component| component == "..");
        Hierarchy {
            controllers: controllers.iter().map(|&name| name.to_owned()).collect(),
            mount_point: mount_point.to_owned(),
            own_path: if outside { "/" } else { own_path }.to_owned(),
        }
    }

    fn own_directory(&self) -> String {
        format!("{}{}", self.mount_point, self.own_path)
    }
}

/// `/proc/self/cgroup`, mostly in one read: the standard library would feel its way with small ones.
fn read_own() -> std::io::Result<String> {
    let mut file = std::fs::File::open("/proc/self/cgroup")?;
    let mut piece = [0; 8192];
    let length = file.read(&mut piece)?;
    let mut text = piece.get(..length).unwrap_or_default().to_vec();
    if length == piece.len() {
        file.read_to_end(&mut text)?;
    }
    Ok(String::from_utf8_lossy(&text).into_owned())
}

/// A line of `/proc/self/cgroup`.
struct Membership<'a> {
    /// Empty for version 2.
    controllers: Vec<&'a str>,
    own_path: &'a str,
}

impl Membership<'_> {
    fn by_convention(&self) -> Hierarchy {
        let directory = self.controllers.join(",");
        let directory = directory.strip_prefix("name=").unwrap_or(&directory);
        Hierarchy::new(&self.controllers, &format!("{ROOT}/{directory}"), self.own_path)
    }

    /// The mount of this hierarchy in which the caller's own cgroup can be seen.
    fn among(&self, mounts: &[MountedHierarchy]) -> Option<Hierarchy> {
        mounts.iter().filter(|mount| self.controllers.iter().all(|&c| mount.options.iter().any(|o| o == c))).find_map(
            |mount| {
                let below = match mount.root.as_str() {
                    "/" => self.own_path,
                    root => self.own_path.strip_prefix(root).filter(|rest| rest.is_empty() || rest.starts_with('/'))?,
                };
                let below = if below.is_empty() { "/" } else { below };
                Some(Hierarchy::new(&self.controllers, &mount.mount_point, below))
            },
        )
    }
}

/// A `cgroup` mount of `/proc/self/mountinfo`.
struct MountedHierarchy {
    root: String,
    mount_point: String,
    options: Vec<String>,
}

fn memberships(text: &str) -> Vec<Membership<'_>> {
    text.lines()
        .filter_map(|line| {
            let mut fields = line.splitn(3, ':');
            let (_, controllers, own_path) = (fields.next()?, fields.next()?, fields.next()?);
            Some(Membership { controllers: controllers.split(',').filter(|c| !c.is_empty()).collect(), own_path })
        })
        .collect()
}

/// Whether a file system of that type is there. That the kernel cannot tell is no answer.
fn is_mounted(path: &str, magic: FsType) -> Result<bool> {
    match statfs(path) {
        Ok(facts) => Ok(facts.filesystem_type() == magic),
        Err(Errno::ENOENT | Errno::ENOTDIR | Errno::EACCES) => Ok(false),
        Err(errno) => Err(Error::os(format!("find the file system of {path}"), errno)),
    }
}

fn read_mounts() -> Result<Vec<MountedHierarchy>> {
    let text =
        std::fs::read_to_string("/proc/self/mountinfo").map_err(|e| Error::os("read /proc/self/mountinfo", e))?;
    Ok(parse_mounts(&text))
}

/// The `cgroup` (version 1) lines of a mountinfo text, see `proc_pid_mountinfo(5)`.
fn parse_mounts(text: &str) -> Vec<MountedHierarchy> {
    text.lines()
        .filter_map(|line| {
            let (mount, filesystem) = line.split_once(" - ")?;
            let mut filesystem = filesystem.split(' ');
            if filesystem.next()? != "cgroup" {
                return None;
            }
            let options = filesystem.nth(1)?.split(',').map(str::to_owned).collect();
            let mut mount = mount.split(' ').skip(3);
            Some(MountedHierarchy { root: unescape(mount.next()?), mount_point: unescape(mount.next()?), options })
        })
        .collect()
}

/// Undoes mountinfo's octal escapes of blanks and backslashes.
pub(super) fn unescape(text: &str) -> String {
    [("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")]
        .iter()
        .fold(text.to_owned(), |text, (escape, plain)| text.replace(escape, plain))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn own_cgroups_are_read_with_their_controllers() {
        let read = memberships("9:name=systemd:/\n4:cpu,cpuacct:/a:b\n0::/user.slice\n");
        let shown: Vec<_> = read.iter().map(|m| (m.controllers.join("+"), m.own_path)).collect();
        let expected = [("name=systemd", "/"), ("cpu+cpuacct", "/a:b"), ("", "/user.slice")];
        assert_eq!(shown, expected.map(|(controllers, path)| (controllers.to_owned(), path)));
        assert_eq!(read[0].by_convention().mount_point, "/sys/fs/cgroup/systemd");
        assert_eq!(read[1].by_convention().mount_point, "/sys/fs/cgroup/cpu,cpuacct");
    }

    #[test]
    fn an_unusual_mount_point_is_found_in_mountinfo() {
        let mounts = parse_mounts(
            "40 31 0:37 / /elsewhere/cpu\\040time rw,relatime shared:9 - cgroup cgroup rw,cpu,cpuacct\n\
             41 31 0:38 /docker/1 /mnt/memory rw - cgroup cgroup rw,memory\n\
             42 31 0:39 / /mnt/unified rw - cgroup2 cgroup2 rw\n",
        );
        let find = |text: &str| memberships(text)[0].among(&mounts);
        assert_eq!(find("4:cpu,cpuacct:/x").unwrap(), Hierarchy::new(&["cpu", "cpuacct"], "/elsewhere/cpu time", "/x"));
        assert_eq!(find("5:memory:/docker/1").unwrap(), Hierarchy::new(&["memory"], "/mnt/memory", "/"));
        assert_eq!(find("5:memory:/docker/1/sub").unwrap(), Hierarchy::new(&["memory"], "/mnt/memory", "/sub"));
        assert_eq!(find("5:memory:/docker/12"), None);
        assert_eq!(find("6:pids:/"), None);
    }

    #[test]
    fn a_caller_outside_of_its_cgroup_namespace_counts_from_the_root() {
        assert_eq!(Hierarchy::new(&[], ROOT, "/../..").own_path, "/");
    }

    #[test]
    #[cfg_attr(miri, ignore = "asks the kernel")]
    fn this_machine_has_what_it_says() {
        let host = HostCgroups::probe().unwrap();
        for hierarchy in host.v1.iter().chain(&host.v2) {
            let procs = format!("{}/cgroup.procs", hierarchy.own_directory());
            assert!(std::path::Path::new(&procs).exists(), "{procs}");
        }
    }
}
