//! The container beside: whatever happens to the other one, it goes on as if nothing had.

use std::path::{Path, PathBuf};

/// What was there of it in the beginning.
pub(crate) struct Bystander {
    /// Files whose content does not change.
    constant: Vec<(PathBuf, Vec<u8>)>,
    stat: PathBuf,
    started: String,
}

impl Bystander {
    /// Looks at the container with this process, state directory and cgroup.
    pub(crate) fn new(pid: i32, state: &Path, cgroup: &str) -> Bystander {
        let process = PathBuf::from(format!("/proc/{pid}"));
        let mut paths = vec![process.join("cgroup"), process.join("mountinfo"), process.join("limits")];
        // A FIFO would wait for its other end.
        paths.extend(
            crate::leftovers::names(state).into_iter().map(|name| state.join(name)).filter(|path| path.is_file()),
        );
        for group in crate::leftovers::cgroups(cgroup) {
            let files =
                ["cgroup.procs", "pids.max", "freezer.state", "devices.list", "cgroup.freeze", "hugetlb.2MB.max"];
            paths.extend(files.iter().map(|file| Path::new(&group).join(file)).filter(|path| path.exists()));
        }
        let constant = paths.into_iter().filter_map(|path| Some((path.clone(), std::fs::read(path).ok()?))).collect();
        let stat = process.join("stat");
        let started = started(&stat).expect("the container beside runs");
        Bystander { constant, stat, started }
    }

    /// What of it is no longer what it was.
    pub(crate) fn changed(&self) -> Option<String> {
        if started(&self.stat).as_ref() != Some(&self.started) {
            return Some("the container beside has ended".to_owned());
        }
        let changed = |(path, content): &&(PathBuf, Vec<u8>)| std::fs::read(path).ok().as_ref() != Some(content);
        let (path, _) = self.constant.iter().find(changed)?;
        Some(format!("{} of the container beside has changed", path.display()))
    }
}

/// When the process began, if it has not ended: proc_pid_stat(5), counted after the name, which may hold anything.
fn started(stat: &Path) -> Option<String> {
    let stat = std::fs::read_to_string(stat).ok()?;
    let mut fields = stat.rsplit_once(')')?.1.split_whitespace();
    let state = fields.next()?;
    (state != "Z").then(|| fields.nth(18).map(str::to_owned))?
}
