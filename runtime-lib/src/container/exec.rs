//! One more program in a container that runs: see [`Container::exec`](crate::Container::exec).

use super::builder::duplicate_preserved;
use super::stdio::{self, Stdio};
use super::waits::Ending;
use super::{Container, ExitStatus};
use crate::cgroup::SubCgroup;
use crate::error::{Error, ErrorKind, Result};
use crate::launch::{self, Io, Target};
use crate::observe::Stopwatch;
use crate::plan::exec::Existing;
use crate::plan::{self, Choices, Plan};
use crate::spec::{self, CapSet, ConsoleSize, Namespace, Process, ValidSpec};
use crate::store::{Entry, Now, Record, Status};
use crate::sys::clone::Child;
use crate::sys::pidfd;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Duration;

/// What is to be run; see [`Container::exec`](crate::Container::exec).
#[derive(Debug)]
#[must_use = "nothing runs until spawn is called"]
pub struct ExecBuilder<'a> {
    container: &'a Container,
    source: Source,
    overrides: Overrides,
    stdio: Stdio,
    plain_newlines: bool,
    choices: Choices,
    cgroup: Option<SubCgroup>,
    ignore_paused: bool,
}

#[derive(Debug)]
enum Source {
    /// The container's own process with other arguments.
    Args(Vec<String>),
    /// A `process` in JSON.
    Process(Vec<u8>),
}

/// What differs from the container's own process.
#[derive(Debug, Default)]
struct Overrides {
    cwd: Option<String>,
    env: Vec<String>,
    uid: Option<u32>,
    gid: Option<u32>,
    additional_gids: Vec<u32>,
    capabilities: u64,
    no_new_privileges: Option<bool>,
    apparmor_profile: Option<String>,
    selinux_label: Option<String>,
    console_size: Option<ConsoleSize>,
}

impl<'a> ExecBuilder<'a> {
    fn new(container: &'a Container, source: Source) -> ExecBuilder<'a> {
        ExecBuilder {
            container,
            source,
            overrides: Overrides::default(),
            stdio: Stdio::default(),
            plain_newlines: false,
            choices: Choices::default(),
            cgroup: None,
            ignore_paused: false,
        }
    }

    pub(super) fn of_args(container: &'a Container, args: Vec<String>) -> ExecBuilder<'a> {
        ExecBuilder::new(container, Source::Args(args))
    }

    pub(super) fn of_process(container: &'a Container, json: Vec<u8>) -> ExecBuilder<'a> {
        ExecBuilder::new(container, Source::Process(json))
    }

    /// The working directory, absolute inside the container; it must exist.
    pub fn cwd(mut self, cwd: impl Into<String>) -> Self {
        self.overrides.cwd = Some(cwd.into());
        self
    }

    /// A variable more, `NAME=value`; it replaces one of the same name.
    pub fn env(mut self, variable: impl Into<String>) -> Self {
        self.overrides.env.push(variable.into());
        self
    }

    /// The user id, inside the container's user namespace.
    pub fn uid(mut self, uid: u32) -> Self {
        self.overrides.uid = Some(uid);
        self
    }

    /// The group id.
    pub fn gid(mut self, gid: u32) -> Self {
        self.overrides.gid = Some(gid);
        self
    }

    /// A supplementary group more.
    pub fn additional_gid(mut self, gid: u32) -> Self {
        self.overrides.additional_gids.push(gid);
        self
    }

    /// Capabilities more, in the bounding, effective and permitted sets.
    pub fn capabilities(mut self, more: CapSet) -> Self {
        self.overrides.capabilities |= more.0;
        self
    }

    /// Whether the program can gain no privileges.
    pub fn no_new_privileges(mut self, yes: bool) -> Self {
        self.overrides.no_new_privileges = Some(yes);
        self
    }

    /// The AppArmor profile; an empty one for none.
    pub fn apparmor_profile(mut self, profile: impl Into<String>) -> Self {
        self.overrides.apparmor_profile = Some(profile.into());
        self
    }

    /// The SELinux label; an empty one for none.
    pub fn selinux_label(mut self, label: impl Into<String>) -> Self {
        self.overrides.selinux_label = Some(label.into());
        self
    }

    stdio::setters!();

    /// Gives the program a terminal of the container, and sends its master over this connected `AF_UNIX` stream socket
    /// (`SCM_RIGHTS`).
    pub fn console_socket(mut self, socket: impl Into<OwnedFd>) -> Self {
        self.stdio.console_socket = Some(socket.into());
        self
    }

    /// The terminal's size.
    pub fn console_size(mut self, size: ConsoleSize) -> Self {
        self.overrides.console_size = Some(size);
        self
    }

    /// The terminal leaves newlines as they are written (no `ONLCR`, see `termios(3)`), for a caller that shows its output on
    /// a terminal which maps them itself.
    pub fn plain_newlines(mut self, yes: bool) -> Self {
        self.plain_newlines = yes;
        self
    }

    /// Runs it in cgroups below the container's, which must exist.
    pub fn cgroup(mut self, sub: SubCgroup) -> Self {
        self.cgroup = Some(sub);
        self
    }

    /// Does it in a paused container as well: the call returns only once the container is resumed.
    pub fn ignore_paused(mut self, yes: bool) -> Self {
        self.ignore_paused = yes;
        self
    }

    /// Runs the program; returns when it has been executed.
    ///
    /// # Errors
    /// [`ErrorKind::WrongStatus`] in a container that is stopped, paused, or still being created;
    /// [`ErrorKind::ProgramNotFound`] and [`ErrorKind::ProgramNotExecutable`]; what cannot be honoured. Nothing runs then.
    pub fn spawn(self) -> Result<ExecProcess> {
        self.start().map_err(crate::host::name_missing)
    }

    fn start(self) -> Result<ExecProcess> {
        let container = self.container;
        let watch = Stopwatch::start(container.observer.as_ref());
        let looked;
        let (record, pid, first) = match (&container.record, container.pid, &container.pidfd) {
            (Some(record), Some(pid), Some(first)) if container.committed => (record, pid, first),
            _ => {
                looked = container.entry.look()?;
                enterable(&container.entry, &looked)?
            }
        };
        let frozen = match container.entry.status_of_living(record)? {
            _ if pidfd::has_ended(first) => return refuse("cannot exec in a stopped container"),
            Status::Paused if !self.ignore_paused => {
                return refuse("cannot exec in a paused container (use --ignore-paused to override)");
            }
            status => status == Status::Paused,
        };
        watch.lap("look at the container");
        let child = self.enter(record, pid, first.as_fd(), frozen, &watch).map_err(|error| {
            // What failed by itself is the better answer; what the end of the container caused is not.
            let caused = matches!(error.kind(), ErrorKind::Os | ErrorKind::Internal);
            // A process that is about to end gives its namespaces up a moment before its pidfd tells: they are not found, or
            // no process can be made in its pid namespace (ENOMEM, pid_namespaces(7)).
            let ending = matches!(error.errno(), Some(libc::ESRCH | libc::ENOMEM));
            let patience = Duration::from_secs(if ending { 2 } else { 0 });
            if caused && pidfd::ends_within(first, patience).unwrap_or(false) {
                return error.context("cannot exec in a stopped container").with_kind(ErrorKind::WrongStatus);
            }
            error
        })?;
        Ok(ExecProcess { child, ending: Ending::default() })
    }

    fn enter(
        &self,
        record: &Record,
        pid: i32,
        first: BorrowedFd<'_>,
        frozen: bool,
        watch: &Stopwatch<'_>,
    ) -> Result<Child> {
        let mut plan = self.plan(record, pid)?;
        watch.lap("plan");
        // For the state that a seccomp agent gets.
        plan.identity.bundle.clone_from(&record.bundle);
        plan.identity.annotations.clone_from(&record.annotations);
        let cgroup = match &self.cgroup {
            Some(sub) => record.cgroup.below(sub)?,
            None => record.cgroup.clone(),
        };
        if let Some(missing) = self.cgroup.as_ref().and_then(|_| cgroup.first_missing()) {
            let text = format!("cgroup {} does not exist", missing.display());
            return Err(Error::new(ErrorKind::InvalidArgument, text));
        }
        let preserved = duplicate_preserved(&plan.choices)?;
        let io = Io { plain_newlines: self.plain_newlines, ..self.stdio.io(&preserved) };
        let kinds = plan.namespaces.join.iter().fold(0, |kinds, join| kinds | join.kind.flag());
        let follow = self.cgroup.is_none();
        let target =
            Target { pidfd: first, pid, kinds, cgroup: &cgroup, group: record.resctrl.as_ref(), follow, frozen };
        let launch = launch::enter(&plan, &io, &target, watch)?.hand_listener_over("running", pid)?;
        let (child, _) = launch.go()?;
        watch.lap("the init gets ready and executes the program");
        Ok(child)
    }

    /// The plan of this program in the container as it was recorded.
    fn plan(&self, record: &Record, pid: i32) -> Result<Plan> {
        let spec = spec::parse(record.config.get().as_bytes())?;
        let process = self.process(&spec)?;
        self.stdio.must_fit(process.terminal)?;
        let existing = Existing {
            id: &record.id,
            rootfs: &record.rootfs,
            pid,
            unprivileged: !nix::unistd::geteuid().is_root(),
            same_user_namespace: spec.namespaces.user != Namespace::Host && is_in_our_user_namespace(pid)?,
        };
        let choices = Choices { no_new_keyring: record.no_new_keyring, ..self.choices.clone() };
        let plan = plan::exec::lower(spec, process, &existing, choices)?;
        crate::check::security_modules(&plan)?;
        Ok(plan)
    }

    fn process(&self, spec: &ValidSpec) -> Result<Process> {
        let own = &spec.process;
        let mut process = match &self.source {
            Source::Args(args) => {
                let terminal = self.stdio.console_socket.is_some();
                Process { args: args.clone(), terminal, console_size: None, ..own.clone() }
            }
            Source::Process(json) => {
                let given = spec::parse_process(json)?;
                // What an engine leaves out is as in the container.
                let rlimits = if given.rlimits.is_empty() { own.rlimits.clone() } else { given.rlimits.clone() };
                Process {
                    capabilities: given.capabilities.or(own.capabilities),
                    rlimits,
                    oom_score_adj: given.oom_score_adj.or(own.oom_score_adj),
                    apparmor_profile: given.apparmor_profile.clone().or_else(|| own.apparmor_profile.clone()),
                    selinux_label: given.selinux_label.clone().or_else(|| own.selinux_label.clone()),
                    scheduler: given.scheduler.clone().or_else(|| own.scheduler.clone()),
                    io_priority: given.io_priority.clone().or_else(|| own.io_priority.clone()),
                    exec_cpu_affinity: given.exec_cpu_affinity.clone().or_else(|| own.exec_cpu_affinity.clone()),
                    user: spec::User { umask: given.user.umask.or(own.user.umask), ..given.user.clone() },
                    ..given
                }
            }
        };
        self.overrides.apply(&mut process);
        process.env = spec::without_repetitions(std::mem::take(&mut process.env));
        process.check()?;
        Ok(process)
    }
}

fn refuse<T>(text: &str) -> Result<T> {
    Err(Error::new(ErrorKind::WrongStatus, text))
}

/// The record and the first process of a container that was found so, if its root is in place.
fn enterable<'a>(entry: &Entry, (record, now): &'a (Option<Record>, Now)) -> Result<(&'a Record, i32, &'a OwnedFd)> {
    match (record, &now.pidfd, now.status) {
        (_, _, Status::Creating) => refuse("cannot exec in a container that is being created"),
        // Without it, the program could be among the host's files.
        (Some(_), Some(first), _) if !now.committed && !entry.commit_left_behind(now.pid, first)? => {
            refuse("cannot exec in a container whose start was cut off")
        }
        (Some(record), Some(first), _) => Ok((record, now.pid, first)),
        _ => refuse("cannot exec in a stopped container"),
    }
}

impl Overrides {
    fn apply(&self, process: &mut Process) {
        let Overrides { cwd, env, uid, gid, additional_gids, capabilities, .. } = self;
        if let Some(cwd) = cwd {
            process.cwd.clone_from(cwd);
        }
        process.env.extend(env.iter().cloned());
        process.user.uid = uid.unwrap_or(process.user.uid);
        process.user.gid = gid.unwrap_or(process.user.gid);
        process.user.additional_gids.extend(additional_gids);
        if *capabilities != 0 {
            let sets = process.capabilities.get_or_insert_default();
            for set in [&mut sets.bounding, &mut sets.effective, &mut sets.permitted] {
                set.0 |= capabilities;
            }
        }
        process.no_new_privileges = self.no_new_privileges.unwrap_or(process.no_new_privileges);
        if let Some(profile) = &self.apparmor_profile {
            process.apparmor_profile = Some(profile.clone()).filter(|profile| !profile.is_empty());
        }
        if let Some(label) = &self.selinux_label {
            process.selinux_label = Some(label.clone()).filter(|label| !label.is_empty());
        }
        process.console_size = self.console_size.or(process.console_size).filter(|_| process.terminal);
    }
}

/// `setns(2)` refuses the user namespace that the caller is in.
fn is_in_our_user_namespace(pid: i32) -> Result<bool> {
    use std::os::unix::fs::MetadataExt;
    let path = format!("/proc/{pid}/ns/user");
    let its = std::fs::metadata(&path).map_err(|error| Error::os(format!("stat {path}"), error))?;
    let ours = "/proc/self/ns/user";
    let ours = std::fs::metadata(ours).map_err(|error| Error::os(format!("stat {ours}"), error))?;
    Ok((its.dev(), its.ino()) == (ours.dev(), ours.ino()))
}

/// A program that was added to a container. It goes on when this is dropped; nobody reaps it then but its parent, which is
/// the caller.
///
/// ```no_run
/// # fn main() -> libcorten::Result<()> {
/// # let container = libcorten::Container::load("/run/corten", "web")?;
/// let mut process = container.exec(["make", "check"]).spawn()?;
/// let exit = match process.wait_timeout(std::time::Duration::from_secs(60))? {
///     Some(exit) => exit,
///     None => {
///         process.signal(9)?; // it alone; what it has started goes on
///         process.wait()?
///     }
/// };
/// println!("{exit}");
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct ExecProcess {
    child: Child,
    ending: Ending,
}

impl ExecProcess {
    /// Its pid in the caller's pid namespace.
    pub fn pid(&self) -> i32 {
        self.child.pid
    }

    /// A pidfd of it: readable once it has ended.
    pub fn pidfd(&self) -> BorrowedFd<'_> {
        self.child.pidfd.as_fd()
    }

    /// Sends it a signal.
    ///
    /// # Errors
    /// [`ErrorKind::Os`] with `ESRCH` when it has ended; [`ErrorKind::InvalidArgument`] when there is no such signal.
    pub fn signal(&self, signal: i32) -> Result<()> {
        pidfd::signal(&self.child.pidfd, signal).map_err(|errno| super::waits::not_sent(signal, errno))
    }

    /// Waits for its end; gives the same answer again when it is asked again.
    ///
    /// # Errors
    /// [`ErrorKind::Os`] with `ECHILD` when somebody else of this process has reaped it.
    pub fn wait(&mut self) -> Result<ExitStatus> {
        self.ending.wait(&self.child.pidfd)
    }

    /// As [`wait`](Self::wait), for as long as `timeout` at most: `None` if it runs on. With a timeout of zero it only asks.
    ///
    /// # Errors
    /// Those of `wait`.
    pub fn wait_timeout(&mut self, timeout: Duration) -> Result<Option<ExitStatus>> {
        self.ending.wait_timeout(&self.child.pidfd, timeout)
    }
}
