//! Giving a cgroup to the user that the container's program runs as (the specification's *cgroup ownership*): the directory, and
//! of its files those that the kernel lists as safe to hand out (cgroup-v2.rst, *Delegation*). The limits stay the runtime's.

use super::create::is_rootless;
use super::files;
use crate::error::{Error, Result};
use nix::errno::Errno;
use nix::unistd::{Uid, chown};
use std::path::Path;

const LISTED: &str = "/sys/kernel/cgroup/delegate";
/// What a kernel without the list (before 4.15) has.
const BEFORE: &str = "cgroup.procs\ncgroup.subtree_control\ncgroup.threads\n";

/// A caller who is not root may be without the right to, and the container then without the cgroup.
pub(super) fn give(directory: &Path, owner: u32) -> Result<()> {
    let owner = Some(Uid::from_raw(owner));
    let list = files::read(Path::new(LISTED)).unwrap_or_else(|_| BEFORE.to_owned());
    let names = list.lines().filter(|name| !name.is_empty() && !name.contains('/'));
    for path in std::iter::once(directory.to_owned()).chain(names.map(|name| directory.join(name))) {
        match chown(&path, owner, None) {
            // Of a controller that is not enabled.
            Ok(()) | Err(Errno::ENOENT) => {}
            Err(Errno::EPERM) if is_rootless() => return Ok(()),
            Err(e) => return Err(Error::os(format!("chown {}", path.display()), e).at("linux.cgroupsPath")),
        }
    }
    Ok(())
}
