//! Which cgroup hierarchies the measured programs see.
//!
//! A host is pure v2, pure v1 or hybrid, and not every runtime runs in each. A private mount namespace can show the first
//! two on a hybrid host without touching the host.

use crate::Result;
use crate::program::RUN;
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sched::{CloneFlags, unshare};
use std::path::Path;

/// A view of `/sys/fs/cgroup`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum View {
    /// One cgroup2 mount and nothing else.
    Unified,
    /// The host's v1 hierarchies without its cgroup2.
    Legacy,
}

const CGROUP: &str = "/sys/fs/cgroup";

impl View {
    /// `v2` or `v1`.
    pub fn name(self) -> &'static str {
        match self {
            View::Unified => "v2",
            View::Legacy => "v1",
        }
    }

    /// Runs `work` in a thread that sees this view, as do the processes that it starts. The view ends with the thread.
    /// In it, what runtimes keep below `directory` is in memory, as /run is where systemd is: the journal of a disk's file
    /// system would be measured otherwise, once for the runtime and once for its neighbours.
    ///
    /// # Errors
    /// The view cannot be made on this host, or `work` fails.
    pub fn within<T: Send>(self, directory: &Path, work: impl FnOnce() -> Result<T> + Send) -> Result<T> {
        std::thread::scope(|scope| {
            let thread = scope.spawn(|| {
                self.enter(directory)?;
                work()
            });
            thread.join().unwrap_or_else(|_| Err("the measuring thread panicked".to_owned()))
        })
    }

    fn enter(self, directory: &Path) -> Result {
        let fail =
            |what: &str, errno: nix::Error| format!("show a pure {} host: {what}: {}", self.name(), errno.desc());
        let none: Option<&str> = None;
        // A mount namespace belongs to a thread as long as that does not share its root and working directory.
        unshare(CloneFlags::CLONE_FS | CloneFlags::CLONE_NEWNS).map_err(|e| fail("unshare", e))?;
        mount(none, "/", none, MsFlags::MS_REC | MsFlags::MS_PRIVATE, none).map_err(|e| fail("make / private", e))?;
        let run = directory.join(RUN);
        std::fs::create_dir_all(&run).map_err(|error| format!("{}: {error}", run.display()))?;
        mount(Some("tmpfs"), &run, Some("tmpfs"), MsFlags::empty(), none).map_err(|e| fail("mount tmpfs", e))?;
        match self {
            View::Unified => {
                // Detaching takes the mounts beneath along.
                umount2(CGROUP, MntFlags::MNT_DETACH).map_err(|e| fail("umount", e))?;
                mount(Some("none"), CGROUP, Some("cgroup2"), MsFlags::empty(), none).map_err(|e| fail("mount", e))
            }
            View::Legacy => {
                let unified = Path::new(CGROUP).join("unified");
                if !Path::new(CGROUP).join("memory").is_dir() {
                    return Err(fail("this host has no v1 hierarchies", nix::Error::ENOENT));
                }
                if !unified.is_dir() {
                    return Ok(());
                }
                umount2(&unified, MntFlags::empty()).map_err(|e| fail("umount", e))?;
                // Without a mount there, crun takes the place for a hierarchy and makes directories.
                mount(Some("tmpfs"), &unified, Some("tmpfs"), MsFlags::empty(), none).map_err(|e| fail("mount", e))
            }
        }
    }
}
