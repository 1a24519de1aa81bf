//! The verbs on a container that runs: pause and resume, its processes, its limits, what it uses.

use super::Container;
use crate::Status;
use crate::error::{Error, ErrorKind, Result};
use crate::store::{Lock, Record};

impl Container {
    /// Stops all processes of the container where they are, until [`resume`](Self::resume). If that cannot be done
    /// within ten seconds they run on.
    ///
    /// # Errors
    /// [`ErrorKind::WrongStatus`] when it is neither created nor running, or was killed meanwhile.
    pub fn pause(&self) -> Result<()> {
        let (lock, record) = self.lock()?;
        self.must_live(&record, &lock)?;
        if record.cgroup.is_frozen()? {
            return Err(not_running());
        }
        record.cgroup.freeze().map_err(|error| error.context("pause the container"))
    }

    /// Lets the processes of a paused container run on.
    ///
    /// # Errors
    /// [`ErrorKind::WrongStatus`] when it is not paused.
    pub fn resume(&self) -> Result<()> {
        let (lock, record) = self.lock()?;
        let lives = self.must_live(&record, &lock).is_ok();
        if !lives || !record.cgroup.is_freezing()? {
            return Err(Error::new(ErrorKind::WrongStatus, "container not paused"));
        }
        record.cgroup.thaw().map_err(|error| error.context("resume the container"))
    }

    /// The pids of the container's processes in the caller's pid namespace, sorted; also of those that it moved into
    /// cgroups of its own.
    ///
    /// # Errors
    /// The container's cgroup cannot be read.
    pub fn processes(&self) -> Result<Vec<i32>> {
        self.entry.record()?.map_or(Ok(Vec::new()), |record| record.cgroup.processes())
    }

    /// Of version 1 a frozen process does not see even `SIGKILL`.
    pub(super) fn thaw_killed(&self) -> Result<()> {
        self.entry.record()?.map_or(Ok(()), |record| record.cgroup.thaw_if_freezing())
    }

    fn must_live(&self, record: &Record, lock: &Lock) -> Result<()> {
        match self.entry.now(Some(record), Some(lock))?.status {
            Status::Created | Status::Running | Status::Paused => Ok(()),
            Status::Creating | Status::Stopped => Err(not_running()),
        }
    }
}

fn not_running() -> Error {
    Error::new(ErrorKind::WrongStatus, "container not running")
}
