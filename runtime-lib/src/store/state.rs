//! A container's state as commands print it.

use super::{Entry, InitProcess, Lock, Record};
use crate::error::{Error, ErrorKind, Result};
use serde::Serialize;
use std::collections::BTreeMap;
use std::fmt;

/// A container's status, see the runtime specification's *State*.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// Being created.
    Creating,
    /// Created and waiting for start.
    Created,
    /// The program runs.
    Running,
    /// The program runs, frozen.
    Paused,
    /// The first process has ended.
    Stopped,
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Status::Creating => "creating",
            Status::Created => "created",
            Status::Running => "running",
            Status::Paused => "paused",
            Status::Stopped => "stopped",
        })
    }
}

/// A container's state in the form of `runc state`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct State {
    /// The version of the specification the bundle states.
    pub oci_version: String,
    /// The id.
    pub id: String,
    /// The first process, 0 when stopped.
    pub pid: i32,
    /// The status.
    pub status: Status,
    /// The bundle directory.
    pub bundle: String,
    /// The root file system.
    pub rootfs: String,
    /// When it was created, RFC 3339 in UTC with nanoseconds.
    pub created: String,
    /// The container's annotations.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
    /// The name of the user who created it, `#UID` if unknown.
    pub owner: String,
}

/// What the kernel says of a container now.
pub(crate) struct Now {
    pub(crate) status: Status,
    pub(crate) pid: i32,
    pub(crate) pidfd: Option<std::os::fd::OwnedFd>,
    /// The first process was recorded for good: its root is in place.
    pub(crate) committed: bool,
}

impl Now {
    fn without_process(status: Status) -> Now {
        Now { status, pid: 0, pidfd: None, committed: false }
    }
}

impl Entry {
    /// Asks the kernel for the container's status; `held` is the lock, if the caller holds it.
    pub(crate) fn now(&self, record: Option<&Record>, held: Option<&Lock>) -> Result<Now> {
        self.now_of(self.init()?, record, held)
    }

    /// The record and the status together. The first process is read before the record: once there is one, nothing but the
    /// limits in the record changes any more.
    pub(crate) fn look(&self) -> Result<(Option<Record>, Now)> {
        let init = self.init()?;
        let record = self.record()?;
        let now = self.now_of(init, record.as_ref(), None)?;
        Ok((record, now))
    }

    fn now_of(&self, mut init: Option<InitProcess>, record: Option<&Record>, held: Option<&Lock>) -> Result<Now> {
        let committed = init.is_some();
        if init.is_none() {
            // No first process yet: somebody is at work, or was killed at it.
            if held.is_none() && self.is_locked()? {
                return Ok(Now::without_process(Status::Creating));
            }
            // Who was at work may have finished since we looked. A `run` that was killed after it let the program go
            // leaves one that runs, prepared but not committed.
            init = self.early_init()?;
        }
        let (Some(init), Some(record)) = (init, record) else {
            return Ok(Now::without_process(Status::Stopped));
        };
        let Some(pidfd) = init.open()? else {
            return Ok(Now::without_process(Status::Stopped));
        };
        let status = self.status_of_living(record)?;
        Ok(Now { status, pid: init.pid, pidfd: Some(pidfd), committed })
    }

    /// The status of a container whose first process has not ended.
    pub(crate) fn status_of_living(&self, record: &Record) -> Result<Status> {
        if self.open_start()?.is_some() {
            Ok(Status::Created)
        } else if record.cgroup.is_frozen()? {
            Ok(Status::Paused)
        } else {
            Ok(Status::Running)
        }
    }

    /// The state to print.
    pub(crate) fn state(&self) -> Result<State> {
        let record = self.record()?;
        let now = self.now(record.as_ref(), None)?;
        let Some(record) = record else {
            if !self.is_current()? {
                return Err(Error::new(ErrorKind::NotFound, "container does not exist"));
            }
            let text = format!("container {} is being created, or its creation was cut off", self.id());
            return Err(Error::new(ErrorKind::NotFound, text).hint("delete --force removes what is left"));
        };
        Ok(State {
            oci_version: record.oci_version,
            id: record.id.into(),
            pid: now.pid,
            status: now.status,
            bundle: record.bundle,
            rootfs: record.rootfs,
            created: record.created,
            annotations: record.annotations,
            owner: user_name(record.owner),
        })
    }
}

/// The name of a user in /etc/passwd. No NSS: a library must not load modules into its caller.
fn user_name(uid: u32) -> String {
    let uid = uid.to_string();
    let passwd = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
    let line = passwd.lines().find(|line| line.split(':').nth(2) == Some(&uid));
    let name = line.and_then(|line| line.split(':').next());
    name.map_or_else(|| format!("#{uid}"), str::to_owned)
}
