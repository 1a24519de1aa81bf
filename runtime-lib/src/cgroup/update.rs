//! New limits for a container that is there.

use super::create::{enable_all, is_device_rule, write_all};
use super::device_list::{self, DeviceList};
use super::{Cgroup, CgroupDirectory, CgroupPaths, CgroupPlan, devices, files};
use crate::error::{Error, Result};
use crate::plan::cgroup::{CgroupWrite, DevicePolicy};
use std::path::{Path, PathBuf};

impl Cgroup {
    /// Writes the limits of `change`, made by [`lower_change`](crate::plan::cgroup::lower_change), and with
    /// `with_devices` its device rules in the place of those in effect. If one is refused, those written before it get
    /// their old values back.
    ///
    /// # Errors
    /// The kernel refuses a limit: the error names the element of the configuration.
    pub fn update(&self, change: &CgroupPlan, with_devices: bool) -> Result<()> {
        self.must_be_ours()?;
        if with_devices {
            self.must_keep_from_devices(&change.devices)?;
        }
        let own: Vec<PathBuf> = self.paths.directories().map(CgroupDirectory::absolute).collect();
        let limits: Vec<CgroupWrite> = change.writes.iter().filter(|write| !is_device_rule(write)).cloned().collect();
        let mut old = Vec::new();
        let enabling = enable_all(change, self.scope.is_some());
        let mut written = write_all(&own, &limits, enabling, &mut |file| old.extend(value_of(file)));
        if self.scope.is_some() {
            // What the kernel takes, systemd is told. It rounds some values, so that they are written once more.
            let rules = with_devices.then_some(&change.devices);
            written = written.and_then(|()| self.tell_manager_still(&limits, rules));
            written = written.and_then(|()| write_all(&own, &limits, Ok(()), &mut |_| ()));
        }
        let rules = with_devices.then_some(&change.devices);
        written.and_then(|()| rules.map_or(Ok(()), |rules| self.replace_rules(rules))).inspect_err(|_| restore(&old))
    }

    /// If one of version 1's is refused, those before come back.
    fn replace_rules(&self, rules: &DevicePolicy) -> Result<()> {
        if let CgroupPaths::V2 { directory } = &self.paths {
            return devices::replace(&directory.absolute(), rules);
        }
        let Some((_, directory)) = self.paths.of_controller("devices") else { return Ok(()) };
        let directory = directory.absolute();
        let old = DeviceList::read(&directory)?.map(|list| list.policy());
        device_list::replace(&directory, rules).inspect_err(|_| {
            // The kernel's fault is the one to tell.
            let _ = old.map(|old| device_list::replace(&directory, &old));
        })
    }

    /// systemd writes the device rules of version 1 one after the other, the first of which forbids everything: nothing of
    /// the container is to run meanwhile.
    fn tell_manager_still(&self, writes: &[CgroupWrite], devices: Option<&DevicePolicy>) -> Result<()> {
        let running = self.is_version_1() && !self.is_freezing()?;
        if running {
            self.freeze()?;
        }
        let told = self.tell_manager(writes, devices);
        // Whatever keeps it from that for a moment: it is not to stand still for good.
        let thawed = if running { self.thaw().or_else(|_| self.thaw()) } else { Ok(()) };
        told.and(thawed)
    }

    /// Version 2: the kernel would reclaim, and then kill, to get below a limit that is lower than what is used. Refuses
    /// that as version 1's kernel does. What cannot be read is not known to be too much.
    ///
    /// # Errors
    /// More is in use than `limit`, or than `with_swap`; no limit is `None` or not above zero.
    pub fn check_memory_use(&self, limit: Option<i64>, with_swap: Option<i64>) -> Result<()> {
        let CgroupPaths::V2 { directory } = &self.paths else { return Ok(()) };
        check_memory_use(&directory.absolute(), limit, with_swap)
    }
}

fn check_memory_use(directory: &Path, limit: Option<i64>, with_swap: Option<i64>) -> Result<()> {
    let used = files::read_value(&directory.join("memory.current")).ok().and_then(|text| text.parse::<i64>().ok());
    let Some(used) = used else { return Ok(()) };
    for (value, what, element) in [(with_swap, "memory+swap", "swap"), (limit, "memory", "limit")] {
        if let Some(value) = value.filter(|&value| value > 0 && value <= used) {
            let text = format!("rejecting {what} limit {value} <= usage {used}");
            return Err(Error::config(format!("linux.resources.memory.{element}"), text));
        }
    }
    Ok(())
}

/// What to write to have `file` as it is now, as far as that is one value.
fn value_of(file: &Path) -> Option<(PathBuf, String)> {
    let value = files::read_value(file).ok().filter(|value| !value.is_empty() && !value.contains('\n'))?;
    Some((file.to_owned(), value))
}

/// The last first: as the kernel accepted the steps there, it does those back. The values that depend on each other may
/// have been written in two rounds, so two it are.
fn restore(old: &[(PathBuf, String)]) {
    for _ in 0..2 {
        for (file, value) in old.iter().rev() {
            let _ = files::write(file, value);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_below_what_is_used_is_rejected() {
        let directory = tempfile::tempdir().unwrap();
        let check = |limit, swap| check_memory_use(directory.path(), limit, swap);
        assert!(check(Some(1), None).is_ok(), "nothing is known");
        std::fs::write(directory.path().join("memory.current"), "4096\n").unwrap();
        assert!(check(Some(4097), Some(8192)).is_ok() && check(Some(-1), None).is_ok() && check(None, None).is_ok());
        let refused = |limit, swap| check(limit, swap).unwrap_err().to_string();
        let memory = "linux.resources.memory";
        assert_eq!(refused(Some(4096), None), format!("{memory}.limit: rejecting memory limit 4096 <= usage 4096"));
        assert_eq!(refused(Some(1), Some(2)), format!("{memory}.swap: rejecting memory+swap limit 2 <= usage 4096"));
    }
}
