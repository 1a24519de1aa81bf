//! Groups of the `resctrl` file system, which share out caches and memory bandwidth (`linux.intelRdt`).
//!
//! A group is a directory; the processes whose pids are written to its `tasks`, and their children, get what its `schemata`
//! says. Below a group there are groups that only count (`mon_groups`). See resctrl.rst of the kernel, whose refusals tell
//! no more than `EINVAL`: the reason is in `info/last_cmd_status`.

mod stats;

pub use stats::{BandwidthUse, CacheUse, L3CacheInfo, MemoryBandwidthInfo, RdtStats};

use crate::error::{Error, ErrorKind, Result};
use crate::plan::ResctrlPlan;
use nix::errno::Errno;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::io::ErrorKind::{AlreadyExists, NotFound};
use std::path::{Path, PathBuf};

/// The group of a container, as it is recorded.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Group {
    /// Where the file system is mounted.
    root: PathBuf,
    path: PathBuf,
    /// It is removed with the container.
    own: bool,
    /// A group for counting below it, which is the container's in any case.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    monitor: Option<PathBuf>,
}

/// What [`Group::make`] has made, for taking it back.
#[derive(Debug)]
pub(crate) struct Made(Vec<PathBuf>);

impl Made {
    /// Removes what was made.
    pub(crate) fn undo(self) {
        for path in self.0.iter().rev() {
            let _ = std::fs::remove_dir(path);
        }
    }
}

impl Group {
    /// The group that the plan chose.
    pub(crate) fn chosen(plan: &ResctrlPlan) -> Group {
        Group {
            root: plan.root.clone().into(),
            path: plan.group.clone().into(),
            own: plan.own,
            monitor: plan.monitor.clone().map(PathBuf::from),
        }
    }

    /// Makes it and gives it its share. A group that the configuration names and that exists is somebody's: it must have that
    /// share already.
    ///
    /// # Errors
    /// The kernel refuses; a named group has another share, or none is given and it does not exist. Nothing is left then.
    pub(crate) fn make(&self, schemata: &[String]) -> Result<Made> {
        let mut made = Made(Vec::new());
        match self.fill(schemata, &mut made) {
            Ok(()) => Ok(made),
            Err(error) => {
                made.undo();
                Err(error)
            }
        }
    }

    fn fill(&self, schemata: &[String], made: &mut Made) -> Result<()> {
        if !self.own && schemata.is_empty() {
            let path = self.path.display();
            std::fs::metadata(&self.path)
                .map_err(|error| Error::os(format!("find {path}"), error).at("linux.intelRdt.closID"))?;
        } else if self.make_directory(&self.path, "linux.intelRdt.closID", made)? || self.own {
            self.write(schemata)?;
        } else {
            self.compare(schemata)?;
        }
        match &self.monitor {
            Some(monitor) => self.make_directory(monitor, "linux.intelRdt.enableMonitoring", made).map(drop),
            None => Ok(()),
        }
    }

    /// Whether it was not there.
    fn make_directory(&self, path: &Path, location: &str, made: &mut Made) -> Result<bool> {
        match std::fs::create_dir(path) {
            Ok(()) => {
                made.0.push(path.to_owned());
                Ok(true)
            }
            Err(error) if error.kind() == AlreadyExists => Ok(false),
            Err(error) => {
                let error = self.told(Error::os(format!("make {}", path.display()), error)).at(location);
                Err(if error.errno() == Some(Errno::ENOSPC as i32) {
                    error.hint("the processor has no more classes of service")
                } else {
                    error
                })
            }
        }
    }

    /// Gives the group this share; what the lines do not name stays as it is.
    ///
    /// # Errors
    /// The kernel refuses a line.
    pub(crate) fn write(&self, schemata: &[String]) -> Result<()> {
        if schemata.is_empty() {
            return Ok(());
        }
        let file = self.path.join("schemata");
        std::fs::write(&file, schemata.join("\n") + "\n").map_err(|error| {
            let operation = format!("write {:?} to {}", schemata.join("\n"), file.display());
            self.told(Error::os(operation, error)).at("linux.intelRdt")
        })
    }

    fn schemata(&self) -> Result<String> {
        let file = self.path.join("schemata");
        let read = std::fs::read_to_string(&file);
        read.map_err(|error| Error::os(format!("read {}", file.display()), error).at("linux.intelRdt"))
    }

    fn compare(&self, wanted: &[String]) -> Result<()> {
        let text = self.schemata()?;
        let (held, wanted) = (shares(text.lines()), shares(wanted.iter().map(String::as_str)));
        for (domain, value) in &wanted {
            let has = held.get(domain);
            if has != Some(value) {
                let has = has.map_or("none", String::as_str);
                let ((resource, number), path) = (domain, self.path.display());
                let message = format!("{path} exists with {resource}:{number}={has}, not with {value}");
                return Err(Error::config("linux.intelRdt.closID", message));
            }
        }
        Ok(())
    }

    /// Puts a process into it.
    ///
    /// # Errors
    /// The kernel refuses.
    pub(crate) fn join(&self, pid: i32) -> Result<()> {
        // In this order: a group for counting takes only processes of the group that it is in.
        for directory in [Some(&self.path), self.monitor.as_ref()].into_iter().flatten() {
            let file = directory.join("tasks");
            std::fs::write(&file, format!("{pid}\n")).map_err(|error| {
                self.told(Error::os(format!("write {pid} to {}", file.display()), error)).at("linux.intelRdt")
            })?;
        }
        Ok(())
    }

    /// [`join`](Self::join), unless somebody has removed the group: its processes are in the root's by then.
    pub(crate) fn join_if_there(&self, pid: i32) -> Result<()> {
        if self.path.exists() { self.join(pid) } else { Ok(()) }
    }

    /// Removes what is the container's. The kernel moves what is still in it to the group above.
    ///
    /// # Errors
    /// The kernel refuses.
    pub(crate) fn remove(&self) -> Result<()> {
        for path in [self.monitor.as_ref(), self.own.then_some(&self.path)].into_iter().flatten() {
            match std::fs::remove_dir(path) {
                Err(error) if error.kind() != NotFound => {
                    return Err(Error::os(format!("remove {}", path.display()), error).at("linux.intelRdt"));
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// Adds what the kernel says about its refusal.
    fn told(&self, error: Error) -> Error {
        let status = std::fs::read_to_string(self.root.join("info/last_cmd_status")).unwrap_or_default();
        match status.trim() {
            "" | "ok" => error,
            status => error.hint(status.to_owned()),
        }
    }
}

/// The share of each domain of each resource. The kernel writes `L3:0=000ff;1=000ff`, people `L3:1=ff; 0=ff`.
fn shares<'a>(lines: impl Iterator<Item = &'a str>) -> BTreeMap<(String, u64), String> {
    let mut shares = BTreeMap::new();
    for line in lines {
        let Some((resource, domains)) = line.split_once(':') else { continue };
        for domain in domains.split(';') {
            let Some((number, value)) = domain.split_once('=') else { continue };
            let Ok(number) = number.trim().parse() else { continue };
            // A bit mask in hexadecimal, or a percentage; with or without zeros in front.
            let value = value.trim().trim_start_matches("0x").to_ascii_lowercase();
            let value = value.trim_start_matches('0');
            let value = if value.is_empty() { "0" } else { value };
            shares.insert((resource.trim().to_owned(), number), value.to_owned());
        }
    }
    shares
}

/// A change of a container's share while it runs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RdtChange {
    /// A new `l3CacheSchema`.
    pub l3_cache_schema: Option<String>,
    /// A new `memBwSchema`.
    pub mem_bw_schema: Option<String>,
}

impl RdtChange {
    /// Whether nothing is to be changed.
    pub fn is_empty(&self) -> bool {
        *self == RdtChange::default()
    }

    fn lines(&self) -> Vec<String> {
        let schemas = [&self.l3_cache_schema, &self.mem_bw_schema].into_iter().flatten();
        schemas.flat_map(|schema| schema.lines()).map(str::to_owned).collect()
    }
}

/// How to take a change back.
#[derive(Debug)]
pub(crate) enum Before {
    /// The group had this share.
    Share(Group, String),
    /// There was no group.
    None(Made),
}

impl Before {
    /// Takes the change back, as far as it goes.
    pub(crate) fn restore(self) {
        match self {
            Before::Share(group, text) => drop(group.write(&[text.trim_end().to_owned()])),
            Before::None(made) => made.undo(),
        }
    }
}

/// Changes the share of a container, which gets a group of its own named `id` below `root` if it has none yet; its `processes`
/// are put into that.
///
/// # Errors
/// There is no such file system; the kernel refuses. Nothing has changed then.
pub(crate) fn change(
    change: &RdtChange,
    group: Option<&Group>,
    root: Option<&crate::host::Resctrl>,
    id: &str,
    processes: &[i32],
) -> Result<(Group, Before)> {
    let absent = |text: &str| Error::new(ErrorKind::Unsupported, text);
    // Not asked of a container that has a group: the file system was there.
    let (l3, bandwidth) = root.map_or((group.is_some(), group.is_some()), |r| (r.l3_cache, r.memory_bandwidth));
    if change.l3_cache_schema.is_some() && !l3 {
        return Err(absent("Intel RDT/CAT: l3 cache schema is not enabled"));
    }
    if change.mem_bw_schema.is_some() && !bandwidth {
        return Err(absent("Intel RDT/MBA: memory bandwidth schema is not enabled"));
    }
    if let Some(group) = group {
        let before = group.schemata()?;
        group.write(&change.lines())?;
        return Ok((group.clone(), Before::Share(group.clone(), before)));
    }
    let root = PathBuf::from(root.map(|root| root.mount_point.clone()).unwrap_or_default());
    let group = Group { path: root.join(id), root, own: true, monitor: None };
    let made = group.make(&change.lines())?;
    for pid in processes {
        match group.join(*pid) {
            Ok(()) => {}
            // It has ended meanwhile.
            Err(error) if error.errno() == Some(Errno::ESRCH as i32) => {}
            Err(error) => {
                made.undo();
                return Err(error);
            }
        }
    }
    Ok((group, Before::None(made)))
}

#[cfg(test)]
mod tests;
