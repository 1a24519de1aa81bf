//! What containers may leave behind, how it is found, and how it is taken away.
//!
//! Everything of a sandbox carries its name: container ids, cgroups and the value of an environment variable begin with it,
//! and all its files are in one temporary directory.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// The mount points of all cgroup hierarchies of the machine.
pub fn cgroup_mount_points() -> Vec<PathBuf> {
    let mountinfo = std::fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    let of_cgroups = mountinfo.lines().filter(|line| line.contains(" - cgroup"));
    of_cgroups.filter_map(|line| line.split(' ').nth(4)).map(PathBuf::from).collect()
}

/// The cgroups whose name begins with `name`, in every hierarchy.
fn cgroups(name: &str) -> Vec<PathBuf> {
    let entries = cgroup_mount_points().into_iter().filter_map(|root| std::fs::read_dir(root).ok()).flatten().flatten();
    entries.filter(|entry| entry.file_name().to_string_lossy().starts_with(name)).map(|entry| entry.path()).collect()
}

/// The processes that have `marker` in their environment, or are in one of the cgroups.
fn processes(marker: &str, cgroups: &[PathBuf]) -> Vec<i32> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir("/proc").into_iter().flatten().flatten() {
        let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse().ok()) else { continue };
        let environment = std::fs::read(entry.path().join("environ")).unwrap_or_default();
        if environment.split(|byte| *byte == 0).any(|variable| variable == marker.as_bytes()) {
            found.push(pid);
        }
    }
    cgroups.iter().for_each(|cgroup| members(cgroup, &mut found));
    found.sort_unstable();
    found.dedup();
    found
}

fn members(cgroup: &Path, found: &mut Vec<i32>) {
    let list = std::fs::read_to_string(cgroup.join("cgroup.procs")).unwrap_or_default();
    found.extend(list.lines().filter_map(|line| line.parse::<i32>().ok()));
    children(cgroup).iter().for_each(|child| members(child, found));
}

fn children(cgroup: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(cgroup).into_iter().flatten().flatten();
    entries.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir())).map(|entry| entry.path()).collect()
}

fn remove_cgroup(cgroup: &Path) {
    children(cgroup).iter().for_each(|child| remove_cgroup(child));
    let _ = std::fs::remove_dir(cgroup);
}

/// What to look for.
pub(crate) struct Search<'t> {
    pub(crate) name: &'t str,
    pub(crate) marker: &'t str,
    pub(crate) directory: &'t Path,
    pub(crate) state_root: &'t Path,
    pub(crate) mountinfo: &'t Path,
}

impl Search<'_> {
    /// Everything found, one line each.
    pub(crate) fn find(&self) -> Vec<String> {
        let cgroups = cgroups(self.name);
        let mut found: Vec<String> = processes(self.marker, &cgroups)
            .into_iter()
            .map(|pid| format!("process {pid} ({})", command_line(pid)))
            .collect();
        found.extend(cgroups.iter().map(|path| format!("cgroup {}", path.display())));
        let mounts = std::fs::read_to_string(self.mountinfo).unwrap_or_default();
        let directory = self.directory.to_str().unwrap_or_default();
        found.extend(mounts.lines().filter(|line| line.contains(directory)).map(|line| format!("mount {line}")));
        let states = std::fs::read_dir(self.state_root).into_iter().flatten().flatten();
        found.extend(
            states.filter(|entry| entry.path().is_dir()).map(|entry| format!("state {}", entry.path().display())),
        );
        found
    }

    /// As [`Search::find`], but gives what is on its way out twenty seconds.
    pub(crate) fn find_settled(&self) -> Vec<String> {
        let deadline = Instant::now() + Duration::from_secs(20);
        loop {
            let found = self.find();
            if found.is_empty() || Instant::now() > deadline {
                return found;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Kills the processes and removes the cgroups.
    pub(crate) fn clear(&self) {
        let cgroups = cgroups(self.name);
        let own = i32::try_from(std::process::id()).unwrap_or(0);
        for pid in processes(self.marker, &cgroups).into_iter().filter(|pid| *pid != own) {
            if let Some(pid) = rustix::process::Pid::from_raw(pid) {
                let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
            }
        }
        for cgroup in &cgroups {
            // A frozen process dies only once it is thawed.
            let _ = std::fs::write(cgroup.join("freezer.state"), "THAWED");
            let _ = std::fs::write(cgroup.join("cgroup.freeze"), "0");
        }
        let deadline = Instant::now() + Duration::from_secs(10);
        while !processes(self.marker, &cgroups).is_empty() && Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(5));
        }
        cgroups.iter().for_each(|cgroup| remove_cgroup(cgroup));
    }
}

fn command_line(pid: i32) -> String {
    let words = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    String::from_utf8_lossy(&words).replace('\0', " ").trim_end().to_owned()
}
