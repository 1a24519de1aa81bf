//! The facade: a container's verbs, each a recipe over the modules that do the work.

mod builder;
mod control;
mod events;
mod exec;
mod notify;
mod stdio;
mod waits;

pub use builder::ContainerBuilder;
pub use events::{Event, Events};
pub use exec::{ExecBuilder, ExecProcess};
pub use waits::ExitStatus;

use waits::{Ending, end, must_be_read, not_sent, not_waited, wait_until_unread};

use crate::error::{Error, ErrorKind, Result};
use crate::launch::{self, hooks};
use crate::observe::{Observer, Stopwatch};
use crate::resctrl::Group;
use crate::store::{Entry, Lock, Record};
use crate::sys::pidfd;
use crate::{ContainerId, State, Status};
use nix::errno::Errno;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::time::Duration;

/// A container that exists: created, running or stopped.
///
/// ```no_run
/// use libcorten::{Container, Force};
///
/// # fn main() -> libcorten::Result<()> {
/// let mut container = Container::load("/run/corten", "web")?;
/// println!("{:?} {}", container.pid(), container.state()?.status);
/// container.kill(15)?;
/// container.delete(Force::Yes)?;
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Container {
    entry: Entry,
    pid: Option<i32>,
    pidfd: Option<OwnedFd>,
    /// What was recorded when this handle was made.
    record: Option<Record>,
    /// The record and the first process are final: nothing but limits changes any more.
    committed: bool,
    /// This handle made the container: its first process is a child of this process.
    made_here: bool,
    /// The bound socket for `sd_notify(3)`, if the program was started with one.
    notify_socket: Option<UnixDatagram>,
    /// How the first process has ended, if it was waited for.
    ending: Ending,
    observer: Option<Observer>,
}

/// Runs poststop hooks; each failure is returned, none keeps the others from running.
fn poststop_errors(hooks: &[crate::spec::Hook], state: &hooks::HookState<'_>) -> Vec<Error> {
    hooks.iter().filter_map(|hook| hooks::run("poststop", std::slice::from_ref(hook), state).err()).collect()
}

/// Whether [`Container::delete`] may kill.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Force {
    /// Only a container that is stopped is deleted.
    No,
    /// Whatever still runs in it is killed first.
    Yes,
}

impl Container {
    /// Begins a new container.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidId`](crate::ErrorKind::InvalidId).
    pub fn builder(id: &str) -> Result<ContainerBuilder> {
        Ok(ContainerBuilder::new(ContainerId::new(id)?))
    }

    /// Finds a container by its id.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`] when the state directory has none of that id.
    pub fn load(root: impl AsRef<Path>, id: &str) -> Result<Container> {
        let entry = Entry::find(root.as_ref(), &ContainerId::new(id)?)?;
        let (record, now) = entry.look()?;
        let pid = (now.pid != 0).then_some(now.pid);
        let committed = now.committed;
        Ok(Container {
            entry,
            pid,
            pidfd: now.pidfd,
            record,
            committed,
            made_here: false,
            notify_socket: None,
            ending: Ending::default(),
            observer: None,
        })
    }

    /// The states of all containers below `root`, by id. A record that cannot be read is left out and returned in the
    /// second list.
    ///
    /// # Errors
    /// When `root` itself cannot be read; a `root` that does not exist has no containers.
    pub fn list(root: impl AsRef<Path>) -> Result<(Vec<State>, Vec<Error>)> {
        let (mut states, mut errors) = (Vec::new(), Vec::new());
        for id in Entry::scan(root.as_ref())? {
            match Entry::find(root.as_ref(), &id).and_then(|entry| entry.state()) {
                Ok(state) => states.push(state),
                // Deleted since the scan, or not yet recorded.
                Err(error) if error.kind() == ErrorKind::NotFound => {}
                Err(error) => errors.push(error.context(format!("load container {id}"))),
            }
        }
        Ok((states, errors))
    }

    /// The id.
    pub fn id(&self) -> &ContainerId {
        self.entry.id()
    }

    /// The container's state now, derived from the kernel.
    ///
    /// # Errors
    /// When the record is gone or unreadable.
    pub fn state(&self) -> Result<State> {
        self.entry.state()
    }

    /// Starts the program of a created container.
    ///
    /// # Errors
    /// [`ErrorKind::WrongStatus`] unless it is created; the error of `execve(2)`; a failed hook.
    pub fn start(&mut self) -> Result<()> {
        let watch = Stopwatch::start(self.observer.as_ref());
        let (lock, record) = self.lock()?;
        let Some(fifo) = self.entry.open_start()? else {
            return Err(self.not_to_be_started(&record, &lock)?);
        };
        nix::unistd::write(&fifo, b"s").map_err(|errno| Error::os("tell the init to start", errno))?;
        watch.lap("tell the init");
        wait_until_unread(&fifo)?;
        watch.lap("startContainer hooks, execute the program");
        launch::late_failure(&self.entry.report()?, &record.args)?;
        must_be_read(&fifo)?;
        let state = record_state(&record, "running", self.pid);
        hooks::run("poststart", &record.hooks.poststart, &state).inspect_err(|_| {
            let _ = self.signal_first(libc::SIGKILL);
        })?;
        watch.lap("poststart hooks");
        Ok(())
    }

    /// Why a container cannot be started whose init does not wait.
    fn not_to_be_started(&self, record: &Record, lock: &Lock) -> Result<Error> {
        let message = match self.entry.now(Some(record), Some(lock))?.status {
            // An init that has failed by itself, before anybody could hear of it.
            Status::Stopped => match launch::failed_wait(&self.entry.report().unwrap_or_default()) {
                Some(error) => return Ok(error),
                None => "cannot start a container that has stopped",
            },
            Status::Paused => "cannot start a container in the paused state",
            _ => "cannot start an already running container",
        };
        Ok(Error::new(ErrorKind::WrongStatus, message))
    }

    /// Sends `signal` to the container's first process. `SIGKILL` lets a paused container run, so that it ends, and goes to
    /// every process where the death of the first one does not end the others: in a pid namespace that is not its own.
    ///
    /// # Errors
    /// [`ErrorKind::WrongStatus`] when it is stopped (`container not running`); [`ErrorKind::InvalidArgument`] when there is no
    /// such signal.
    pub fn kill(&self, signal: i32) -> Result<()> {
        self.signal_first(signal)?;
        if signal == libc::SIGKILL { self.end_killed() } else { Ok(()) }
    }

    fn signal_first(&self, signal: i32) -> Result<()> {
        let not_running = || Error::new(ErrorKind::WrongStatus, "container not running");
        let pidfd = self.pidfd.as_ref().ok_or_else(not_running)?;
        match pidfd::signal(pidfd, signal) {
            Err(Errno::ESRCH) => Err(not_running()),
            result => result.map_err(|errno| not_sent(signal, errno)),
        }
    }

    /// Sends `signal` to every process of the container, also when its first one has ended.
    ///
    /// # Errors
    /// When the container's cgroup cannot be read.
    pub fn kill_all(&self, signal: i32) -> Result<()> {
        let record = if self.has_its_cgroups()? { self.entry.record()? } else { None };
        let not_running = || Error::new(ErrorKind::WrongStatus, "container not running");
        record.ok_or_else(not_running)?.cgroup.kill(signal)
    }

    /// Waits for the container's first process, which must be a child of this process; gives the same answer again when it is
    /// asked again.
    ///
    /// # Errors
    /// [`ErrorKind::Os`] with `ECHILD` when it is not, or somebody else of this process has reaped it. The end of any
    /// container is told by [`events`](Self::events).
    pub fn wait(&mut self) -> Result<ExitStatus> {
        let first = self.pidfd.as_ref().ok_or_else(|| not_waited(Errno::ECHILD))?;
        self.ending.wait(first)
    }

    /// As [`wait`](Self::wait), for as long as `timeout` at most: `None` if it runs on. With a timeout of zero it only asks.
    ///
    /// # Errors
    /// Those of `wait`.
    pub fn wait_timeout(&mut self, timeout: Duration) -> Result<Option<ExitStatus>> {
        let first = self.pidfd.as_ref().ok_or_else(|| not_waited(Errno::ECHILD))?;
        self.ending.wait_timeout(first, timeout)
    }

    /// Removes the container: its cgroup, its state, and with [`Force::Yes`] its processes; then runs the poststop
    /// hooks. Gives the errors of hooks that failed: the container is gone nevertheless. A first process that this
    /// handle made and nobody has waited for is reaped, and [`wait`](Self::wait) still tells how it ended; with a handle of
    /// [`load`](Container::load) it is left to the one that made it.
    ///
    /// What failed can be tried again with the same handle, and takes up where the other left:
    ///
    /// ```no_run
    /// use libcorten::{Container, ErrorKind, Force};
    ///
    /// # fn main() -> libcorten::Result<()> {
    /// let mut container = Container::load("/run/corten", "web")?;
    /// match container.delete(Force::No) {
    ///     Err(error) if error.kind() == ErrorKind::WrongStatus => container.delete(Force::Yes)?,
    ///     deleted => deleted?,
    /// };
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`ErrorKind::WrongStatus`] when it runs and force is not given; [`ErrorKind::NotFound`] when it is deleted already.
    pub fn delete(&mut self, force: Force) -> Result<Vec<Error>> {
        let observer = self.observer.clone();
        let watch = Stopwatch::start(observer.as_ref());
        let lock = match force {
            Force::No => self.entry.lock()?,
            Force::Yes => self.lock_by_force()?,
        };
        self.must_be_current()?;
        // Of what others made updates may have changed it since. None is there when a delete was cut off, which may have been
        // this handle's.
        let read = if self.made_here && self.record.is_some() { None } else { self.entry.record()? };
        let Some(record) = read.or_else(|| self.record.take()) else {
            // Its create was cut off before the first effect.
            self.entry.remove()?;
            return Ok(Vec::new());
        };
        if let Err(error) = self.remove(&record, force, &lock, &watch) {
            self.record = Some(record);
            return Err(error);
        }
        self.record = None;
        let errors = poststop_errors(&record.hooks.poststop, &record_state(&record, "stopped", None));
        watch.lap("poststop hooks");
        Ok(errors)
    }

    /// Ends what is to be deleted, and removes what there is of it.
    fn remove(&mut self, record: &Record, force: Force, lock: &Lock, watch: &Stopwatch<'_>) -> Result<()> {
        if self.has_its_cgroups()? {
            self.end_processes(record, force, lock)?;
            watch.lap("end the processes");
            record.cgroup.remove()?;
        } else {
            record.cgroup.remove_marked()?;
        }
        watch.lap("remove the cgroups");
        record.resctrl.as_ref().map_or(Ok(()), Group::remove)?;
        self.entry.remove()?;
        watch.lap("remove the state");
        Ok(())
    }

    /// Whether the record says which cgroups are its own, and which were there: not if its create was killed while it made
    /// them. No process of the container was in them then but an init, which ends by itself.
    fn has_its_cgroups(&self) -> Result<bool> {
        if self.committed { Ok(true) } else { self.entry.is_past_cgroups() }
    }

    /// Makes sure that all of its processes have ended.
    fn end_processes(&mut self, record: &Record, force: Force, lock: &Lock) -> Result<()> {
        if !self.ending.is_known() {
            self.end_first(record, force, lock)?;
            if let (true, Some(pidfd)) = (self.made_here, &self.pidfd) {
                // Our child, which nobody can wait for once this handle is gone. It has ended, so this does not block.
                let _ = self.ending.wait(pidfd);
            }
        }
        // With the first process of a pid namespace all others in it have ended.
        if record.own_pid_namespace { Ok(()) } else { record.cgroup.kill(libc::SIGKILL) }
    }

    /// Makes sure that the first process has ended.
    fn end_first(&self, record: &Record, force: Force, lock: &Lock) -> Result<()> {
        let now = self.entry.now(Some(record), Some(lock))?;
        match (now.status, force) {
            (Status::Stopped, _) | (Status::Created, _) | (_, Force::Yes) => {}
            (status, Force::No) => {
                let message = format!("cannot delete container {} that is not stopped: {status}", record.id);
                return Err(Error::new(ErrorKind::WrongStatus, message));
            }
        }
        match &now.pidfd {
            Some(pidfd) => {
                if pidfd::signal(pidfd, libc::SIGKILL).is_ok() {
                    // Of version 1 a frozen process does not see the signal, nor one that a pause, killed half-way, left so.
                    record.cgroup.thaw_if_freezing()?;
                }
                end(pidfd)
            }
            // Its create was killed before the process was recorded: the cgroup knows it.
            None => record.cgroup.kill(libc::SIGKILL),
        }
    }

    fn lock(&self) -> Result<(Lock, Record)> {
        let lock = self.entry.lock()?;
        self.must_be_current()?;
        let gone = || Error::new(ErrorKind::NotFound, "container does not exist");
        let record = self.entry.record()?.ok_or_else(gone)?;
        Ok((lock, record))
    }

    /// While this handle waited for the lock the container may have been deleted, and its id be another's by now.
    fn must_be_current(&self) -> Result<()> {
        if self.entry.is_current()? {
            return Ok(());
        }
        Err(Error::new(ErrorKind::NotFound, "container does not exist"))
    }

    /// Takes the lock; from a create or start that is under way by killing what it waits for. A hook that it runs outside
    /// is not ours to kill: the wait for it is bounded.
    fn lock_by_force(&self) -> Result<Lock> {
        for _ in 0..1000 {
            if let Some(lock) = self.entry.try_lock()? {
                return Ok(lock);
            }
            if let Some(pidfd) = self.entry.early_init()?.map(|init| init.open()).transpose()?.flatten() {
                let _ = pidfd::signal(&pidfd, libc::SIGKILL);
                // It may be a pause that is at work.
                let _ = self.thaw_killed();
            }
            std::thread::sleep(std::time::Duration::from_millis(10));
        }
        Err(Error::new(ErrorKind::WrongStatus, "another command works on the container and does not end"))
    }

    /// Tells `observer` how long each phase of [`start`](Self::start), [`exec`](Self::exec) and [`delete`](Self::delete)
    /// takes.
    pub fn observe(&mut self, observer: Observer) {
        self.observer = Some(observer);
    }

    /// One more program in the container, like the container's own in all but its arguments and what is chosen here.
    ///
    /// ```no_run
    /// use libcorten::Container;
    ///
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let container = Container::load("/run/corten", "web")?;
    /// let output = std::fs::File::create("/tmp/output")?;
    /// let mut process = container.exec(["id", "-u"]).uid(1000).env("LANG=C").stdout(output).spawn()?;
    /// println!("exit code {}", process.wait()?.code());
    /// # Ok(())
    /// # }
    /// ```
    pub fn exec<S: Into<String>>(&self, args: impl IntoIterator<Item = S>) -> ExecBuilder<'_> {
        ExecBuilder::of_args(self, args.into_iter().map(Into::into).collect())
    }

    /// One more program in the container, described by a `process` of the specification in JSON. Capabilities, limits,
    /// umask and labels that it leaves out are those of the container.
    pub fn exec_process(&self, json: impl Into<Vec<u8>>) -> ExecBuilder<'_> {
        ExecBuilder::of_process(self, json.into())
    }

    /// The pid of the container's first process in the caller's pid namespace, `None` if it had ended already when the
    /// container was loaded.
    pub fn pid(&self) -> Option<i32> {
        self.pid
    }

    /// A pidfd of the container's first process: readable once it has ended. `None` if it had ended already when the
    /// container was loaded.
    pub fn pidfd(&self) -> Option<BorrowedFd<'_>> {
        self.pidfd.as_ref().map(AsFd::as_fd)
    }
}

fn record_state<'a>(record: &'a Record, status: &'a str, pid: Option<i32>) -> hooks::HookState<'a> {
    hooks::HookState {
        oci_version: &record.oci_version,
        id: record.id.as_str(),
        status,
        pid,
        bundle: &record.bundle,
        annotations: &record.annotations,
    }
}
