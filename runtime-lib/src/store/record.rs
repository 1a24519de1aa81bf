//! What is kept of a container.

use crate::cgroup::Cgroup;
use crate::error::{Error, Result};
use crate::id::ContainerId;
use crate::plan::Plan;
use crate::resctrl::Group;
use crate::spec::Hooks;
use nix::errno::Errno;
use oci_spec::runtime::LinuxResources;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use std::collections::BTreeMap;
use std::os::fd::OwnedFd;

/// What was chosen at create. Later commands use it and not the bundle, which may change or go away.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Record {
    /// The version of this layout.
    pub(crate) format: u32,
    pub(crate) id: ContainerId,
    pub(crate) oci_version: String,
    pub(crate) bundle: String,
    pub(crate) rootfs: String,
    /// RFC 3339.
    pub(crate) created: String,
    /// The user id of who created it.
    pub(crate) owner: u32,
    #[serde(default)]
    pub(crate) annotations: BTreeMap<String, String>,
    pub(crate) cgroup: Cgroup,
    /// The group of `linux.intelRdt`, or of an update that gave it one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) resctrl: Option<Group>,
    /// Whether the first process is init of a pid namespace of its own, so that the others end with it.
    pub(crate) own_pid_namespace: bool,
    /// Whether it was made with the caller's session keyring.
    #[serde(default)]
    pub(crate) no_new_keyring: bool,
    /// What later commands run, and name in errors.
    #[serde(default)]
    pub(crate) hooks: Hooks,
    pub(crate) args: Vec<String>,
    /// The configuration as it was at create: the bundle may change or go away.
    pub(crate) config: Box<RawValue>,
    /// `linux.resources` as updates have left it; none before the first.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "crate::spec::strict::field")]
    pub(crate) resources: Option<LinuxResources>,
}

/// The newest layout that this version writes and reads.
pub(crate) const FORMAT: u32 = 1;

impl Record {
    pub(crate) fn new(plan: &Plan, cgroup: Cgroup, config: &RawValue) -> Record {
        use crate::spec::NamespaceKind;
        Record {
            format: FORMAT,
            id: plan.identity.id.clone(),
            oci_version: plan.identity.oci_version.clone(),
            bundle: plan.identity.bundle.clone(),
            rootfs: plan.rootfs.path.clone(),
            created: rfc3339(std::time::SystemTime::now()),
            owner: nix::unistd::getuid().as_raw(),
            annotations: plan.identity.annotations.clone(),
            cgroup,
            resctrl: plan.resctrl.as_ref().map(Group::chosen),
            own_pid_namespace: plan.namespaces.is_new(NamespaceKind::Pid),
            no_new_keyring: plan.choices.no_new_keyring,
            hooks: plan.hooks.clone(),
            args: plan.process.args.clone(),
            config: config.to_owned(),
            resources: None,
        }
    }

    /// The limits in effect.
    pub(crate) fn resources(&self) -> Result<LinuxResources> {
        match &self.resources {
            Some(resources) => Ok(resources.clone()),
            None => Ok(crate::spec::parse(self.config.get().as_bytes())?.resources.unwrap_or_default()),
        }
    }
}

/// The identity of the first process: a pid alone may be somebody else's by now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct InitProcess {
    pub(crate) pid: i32,
    /// Clock ticks since boot, field 22 of `/proc/PID/stat`.
    pub(crate) start_time: u64,
    /// `/proc/sys/kernel/random/boot_id`.
    pub(crate) boot_id: String,
}

impl InitProcess {
    /// The process `pid`, a child of this process that was not waited for.
    pub(crate) fn of(pid: i32) -> Result<InitProcess> {
        let stat = stat(pid)?.ok_or_else(|| Error::os(format!("find process {pid}"), Errno::ESRCH))?;
        Ok(InitProcess { pid, start_time: stat.start_time, boot_id: boot_id()? })
    }

    /// A pidfd of it, unless it has ended.
    pub(crate) fn open(&self) -> Result<Option<OwnedFd>> {
        let pidfd = match crate::sys::pidfd::open(self.pid) {
            Err(Errno::ESRCH | Errno::EINVAL) => return Ok(None),
            pidfd => pidfd.map_err(|errno| Error::os(format!("pidfd_open of process {}", self.pid), errno))?,
        };
        // Asked after the pidfd was opened: whose start time it is, is whose pidfd it is.
        let alive = stat(self.pid)?.is_some_and(|stat| !stat.ended && stat.start_time == self.start_time);
        let same = alive && boot_id()? == self.boot_id;
        Ok(same.then_some(pidfd))
    }
}

/// What `/proc/PID/stat` says of a process.
struct Stat {
    /// It has ended, but nobody reaped it yet.
    ended: bool,
    /// Field 22.
    start_time: u64,
}

/// The process `pid`; none when there is none.
fn stat(pid: i32) -> Result<Option<Stat>> {
    let path = format!("/proc/{pid}/stat");
    let stat = match read_short(&path) {
        Err(error) if matches!(error.raw_os_error(), Some(libc::ENOENT | libc::ESRCH)) => return Ok(None),
        stat => stat.map_err(|error| Error::os(format!("read {path}"), error))?,
    };
    // The name, in parentheses, may hold anything: what follows the last parenthesis is safe to split.
    let after = stat.iter().rposition(|byte| *byte == b')').and_then(|place| stat.get(place + 1..));
    let mut fields = after.unwrap_or_default().split(|byte| *byte == b' ').filter(|field| !field.is_empty());
    let ended = matches!(fields.next(), Some(b"Z" | b"X"));
    let field = fields.nth(18).and_then(|field| std::str::from_utf8(field).ok()?.parse().ok());
    let missing = || Error::new(crate::ErrorKind::Internal, format!("{path} has no start time"));
    Ok(Some(Stat { ended, start_time: field.ok_or_else(missing)? }))
}

fn boot_id() -> Result<String> {
    let path = "/proc/sys/kernel/random/boot_id";
    let text = read_short(path).map_err(|error| Error::os(format!("read {path}"), error))?;
    Ok(String::from_utf8_lossy(&text).trim_end().to_owned())
}

/// A file of /proc that the kernel hands out in one piece: nothing is asked about it before.
fn read_short(path: &str) -> std::io::Result<Vec<u8>> {
    use std::io::Read;
    let mut text = vec![0; 2048];
    let length = std::fs::File::open(path)?.read(&mut text)?;
    text.truncate(length);
    Ok(text)
}

/// The time in UTC with nanoseconds, as `2026-01-02T03:04:05.000000006Z`.
fn rfc3339(time: std::time::SystemTime) -> String {
    let since = time.duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    let (days, second) = (since.as_secs() / 86_400, since.as_secs() % 86_400);
    // Civil date from days: the year counted from March, in eras of 400 years (146,097 days).
    let shifted = days + 719_468;
    let (era, day_of_era) = (shifted / 146_097, shifted % 146_097);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    let year = year_of_era + era * 400 + u64::from(month <= 2);
    let (hour, minute, second) = (second / 3_600, second / 60 % 60, second % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{:09}Z", since.subsec_nanos())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::{Duration, UNIX_EPOCH};

    #[test]
    fn times_are_civil() {
        for (seconds, text) in [
            (0, "1970-01-01T00:00:00.000000007Z"),
            (951_782_400, "2000-02-29T00:00:00.000000007Z"),
            (1_709_251_199, "2024-02-29T23:59:59.000000007Z"),
            (1_735_689_599, "2024-12-31T23:59:59.000000007Z"),
            (4_107_542_400, "2100-03-01T00:00:00.000000007Z"),
        ] {
            assert_eq!(rfc3339(UNIX_EPOCH + Duration::new(seconds, 7)), text);
        }
    }

    #[test]
    fn this_process_is_found_again_and_another_start_time_is_somebody_else() {
        let own = InitProcess::of(std::process::id() as i32).unwrap();
        assert!(own.open().unwrap().is_some());
        assert!(InitProcess { start_time: own.start_time + 1, ..own.clone() }.open().unwrap().is_none());
        assert!(InitProcess { boot_id: "other".to_owned(), ..own }.open().unwrap().is_none());
    }
}
