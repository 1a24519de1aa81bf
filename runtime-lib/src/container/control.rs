//! The verbs on a container that runs: pause and resume, its processes, its limits, what it uses.

use super::Container;
use crate::error::{Error, ErrorKind, Result};
use crate::host::Resctrl;
use crate::launch::Undo;
use crate::plan::cgroup::lower_change;
use crate::resctrl::{self, RdtChange};
use crate::store::{Lock, Record};
use crate::{Status, spec};
use oci_spec::runtime::LinuxResources;

impl Container {
    /// Stops all processes of the container where they are, until [`resume`](Self::resume). If that cannot be done
    /// within ten seconds they run on.
    ///
    /// # Errors
    /// [`ErrorKind::WrongStatus`] when it is neither created nor running, or was killed meanwhile.
    pub fn pause(&self) -> Result<()> {
        let (lock, record) = self.lock()?;
        self.must_live(&record, &lock)?;
        if record.cgroup.needs_no_freeze()? {
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
        let lives = match self.must_live(&record, &lock) {
            Err(error) if error.kind() != ErrorKind::WrongStatus => return Err(error),
            lives => lives.is_ok(),
        };
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

    /// Changes limits: those that `change` names, as [`parse_resources`](crate::spec::parse_resources) reads them from JSON or as made from
    /// the types of [`oci_spec`]. If one is refused, all stay as they were. Device rules, where there are
    /// any in the change, take the place of all those in effect.
    ///
    /// # Errors
    /// [`ErrorKind::WrongStatus`] when the container is stopped; otherwise the error names the element.
    pub fn update(&self, change: &LinuxResources) -> Result<()> {
        self.update_with(change, &RdtChange::default())
    }

    /// As [`update`](Self::update), and changes the container's share of caches and memory bandwidth; it gets a group of its
    /// own if it has none.
    ///
    /// # Errors
    /// Those of `update`; [`ErrorKind::Unsupported`] on a machine without Intel RDT.
    pub fn update_with(&self, change: &LinuxResources, rdt: &RdtChange) -> Result<()> {
        spec::check_resources(change)?;
        spec::check_schemas(rdt.l3_cache_schema.as_deref(), rdt.mem_bw_schema.as_deref())?;
        let (lock, mut record) = self.lock()?;
        self.must_live(&record, &lock)?;
        let before = record.clone();
        let mut undo = Undo::default();
        if !rdt.is_empty() {
            let processes = if record.resctrl.is_none() { record.cgroup.processes()? } else { Vec::new() };
            let (root, id) = (Resctrl::probe(), record.id.as_str());
            let (group, changed) = resctrl::change(rdt, record.resctrl.as_ref(), root.as_ref(), id, &processes)?;
            record.resctrl = Some(group);
            undo.push(|| changed.restore());
        }
        let change = lower_change(change, &record.resources()?, record.cgroup.paths())?;
        if let Some(memory) = change.merged.memory().filter(|memory| memory.check_before_update() == Some(true)) {
            record.cgroup.check_memory_use(memory.limit(), memory.swap())?;
        }
        // Recorded first: what an update that is cut off was to change, the next one completes. The other way round it would
        // take back what has changed already, of values that have a meaning only together.
        record.resources = Some(change.merged);
        self.entry.write_record(&record)?;
        undo.push(|| drop(self.entry.write_record(&before)));
        record.cgroup.update(&change.plan, change.with_devices)?;
        undo.defuse();
        Ok(())
    }

    /// See [`kill`](Container::kill).
    pub(super) fn end_killed(&self) -> Result<()> {
        self.thaw_killed()?;
        match self.entry.record()? {
            Some(record) if !record.own_pid_namespace => record.cgroup.kill(libc::SIGKILL),
            _ => Ok(()),
        }
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
