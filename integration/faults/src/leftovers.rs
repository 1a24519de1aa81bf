//! What a container leaves when something went wrong.

use nix::errno::Errno;
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use std::collections::BTreeSet;
use std::path::Path;
use std::time::{Duration, Instant};

/// How long the kernel may take to tear a killed process down.
const PATIENCE: Duration = Duration::from_secs(20);

/// Waits until this process, to whom all orphans come, has no children any more, for as long as the kernel may take.
pub(crate) fn processes() -> Option<String> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        match waitpid(None, Some(WaitPidFlag::WNOHANG | WaitPidFlag::__WALL)) {
            Ok(WaitStatus::StillAlive) if Instant::now() > deadline => {
                return Some(format!("processes {}", children()));
            }
            Ok(WaitStatus::StillAlive) => std::thread::sleep(Duration::from_millis(1)),
            Ok(_) | Err(Errno::EINTR) => {}
            Err(Errno::ECHILD) => return None,
            Err(errno) => return Some(format!("cannot wait: {errno}")),
        }
    }
}

/// Waits for the child `pid` and gives its exit code, if it has one. Orphans that end meanwhile are reaped, as the first process of
/// a machine would do: until then a pid namespace that they are in cannot end.
pub(crate) fn reap_until(pid: i32) -> Option<i32> {
    loop {
        match waitpid(None, Some(WaitPidFlag::__WALL)) {
            Ok(WaitStatus::Exited(ended, code)) if ended.as_raw() == pid => return Some(code),
            Ok(WaitStatus::Signaled(ended, ..)) if ended.as_raw() == pid => return None,
            Ok(_) | Err(Errno::EINTR) => {}
            Err(_) => return None,
        }
    }
}

/// Ends all children, so that the next try begins clean.
pub(crate) fn kill_children() {
    for pid in children().split_whitespace().filter_map(|word| word.split(':').next()?.parse().ok()) {
        let _ = nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid), nix::sys::signal::Signal::SIGKILL);
    }
}

fn children() -> String {
    let pid = std::process::id();
    let pids = std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
    let named = pids.split_whitespace().map(|pid| {
        let line = std::fs::read_to_string(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        format!("{pid}:{}", line.replace('\0', "_"))
    });
    named.collect::<Vec<_>>().join(" ")
}

/// The container's cgroups that are still there.
pub(crate) fn cgroups(name: &str) -> Vec<String> {
    let name = name.trim_start_matches('/');
    let hierarchies = std::fs::read_dir("/sys/fs/cgroup").into_iter().flatten().flatten().map(|entry| entry.path());
    let places = hierarchies.chain([Path::new("/sys/fs/cgroup").to_owned()]).map(|place| place.join(name));
    places.filter(|place| place.is_dir()).map(|place| place.display().to_string()).collect()
}

/// The transient unit of a cgroup that systemd made, if it does not go: systemd forgets it a moment after it has ended.
pub(crate) fn unit(cgroup: &str) -> Option<String> {
    let unit = Path::new("/run/systemd/transient").join(Path::new(cgroup).file_name()?);
    let deadline = Instant::now() + PATIENCE;
    while unit.exists() {
        if Instant::now() > deadline {
            return Some(format!("unit {}", unit.display()));
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    None
}

/// The names in a directory.
pub(crate) fn names(directory: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(directory).into_iter().flatten().flatten();
    let mut names: Vec<String> = entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    names
}

/// The mounts of this process's namespace, in which the runtime runs. Some may go meanwhile: with a directory that somebody else
/// removes what is mounted there goes in all namespaces.
pub(crate) fn mounts() -> BTreeSet<String> {
    let text = std::fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    text.lines().map(|line| line.replace("//deleted", "")).collect()
}

/// The network devices of this process's namespace.
pub(crate) fn net_devices() -> Vec<String> {
    // Not /sys/class/net: that is of the namespace in which /sys was mounted.
    let table = std::fs::read_to_string("/proc/self/net/dev").unwrap_or_default();
    let mut names: Vec<String> =
        table.lines().filter_map(|line| line.split_once(':')).map(|(name, _)| name.trim().to_owned()).collect();
    names.sort();
    names
}
