//! How a container is made: what is chosen, and the recipe of create and run.

use super::stdio::{self, Stdio};
use super::waits::Ending;
use super::{Container, poststop_errors};
use crate::cgroup::{self, Cgroup, Made};
use crate::check;
use crate::error::{Error, Result};
use crate::host::{self, Host, Resctrl};
use crate::launch::{self, Io, Places, Undo, hooks};
use crate::observe::{Observer, Stopwatch};
use crate::plan::{self, Choices};
use crate::store::{Entry, InitProcess, Record};
use crate::sys::clone::Child;
use crate::sys::{self, pidfd};
use crate::{Bundle, ContainerId, Plan};
use std::borrow::Cow;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};

/// What a container is to be made from; see [`Container::builder`].
///
/// ```no_run
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let output = std::fs::File::create("/tmp/output")?;
/// let builder = libcorten::Container::builder("job-1")?.bundle("/path/to/bundle").stdout(output);
/// print!("{}", builder.plan()?); // what it would do
/// let exit = builder.run()?.wait()?;
/// # let _ = exit;
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
#[must_use = "nothing is made until create or run is called"]
pub struct ContainerBuilder {
    pub(super) id: ContainerId,
    pub(super) root: PathBuf,
    bundle: BundleSource,
    pub(super) choices: Choices,
    pub(super) notify: bool,
    observer: Option<Observer>,
    stdio: Stdio,
    host: Option<Host>,
}

#[derive(Debug)]
enum BundleSource {
    Directory(PathBuf),
    Loaded(Box<Bundle>),
}

/// Who starts the program.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Starter {
    /// Any process, later.
    Later,
    /// This one, now.
    Now,
}

impl ContainerBuilder {
    pub(super) fn new(id: ContainerId) -> ContainerBuilder {
        ContainerBuilder {
            id,
            root: crate::default_state_root(),
            bundle: BundleSource::Directory(PathBuf::from(".")),
            choices: Choices::default(),
            notify: false,
            observer: None,
            stdio: Stdio::default(),
            host: None,
        }
    }

    /// The state directory; [`default_state_root`](crate::default_state_root) unless set.
    pub fn state_root(mut self, root: impl AsRef<Path>) -> Self {
        self.root = root.as_ref().to_owned();
        self
    }

    /// The bundle directory; the current directory unless set.
    pub fn bundle(mut self, dir: impl AsRef<Path>) -> Self {
        self.bundle = BundleSource::Directory(dir.as_ref().to_owned());
        self
    }

    /// A bundle that is loaded already, or whose configuration never was a file.
    pub fn loaded_bundle(mut self, bundle: Bundle) -> Self {
        self.bundle = BundleSource::Loaded(Box::new(bundle));
        self
    }

    stdio::setters!();

    /// A connected `AF_UNIX` stream socket over which the master of the program's terminal is sent (`SCM_RIGHTS`), as
    /// engines expect it; needed exactly when `process.terminal` is true.
    pub fn console_socket(mut self, socket: impl Into<OwnedFd>) -> Self {
        self.stdio.console_socket = Some(socket.into());
        self
    }

    /// Changes the root with `MS_MOVE` and chroot instead of `pivot_root(2)`, for a rootfs on a ramdisk. Less safe.
    pub fn no_pivot(mut self, yes: bool) -> Self {
        self.choices.no_pivot = yes;
        self
    }

    /// Keeps the caller's session keyring instead of a new one.
    pub fn no_new_keyring(mut self, yes: bool) -> Self {
        self.choices.no_new_keyring = yes;
        self
    }

    /// Lets systemd make the cgroup; `linux.cgroupsPath` is then `slice:prefix:name`.
    pub fn systemd_cgroup(mut self, yes: bool) -> Self {
        self.choices.systemd_cgroup = yes;
        self
    }

    /// Has the caller's own systemd make the cgroup, that of its session, in place of the system's. `bus` is the socket
    /// of its bus, such as `/run/user/1000/bus`. Without [`systemd_cgroup`](ContainerBuilder::systemd_cgroup) it means nothing.
    pub fn systemd_user_bus(mut self, bus: impl Into<String>) -> Self {
        self.choices.systemd_user_bus = Some(bus.into());
        self
    }

    /// What is known of the machine, instead of looking at it: for a plan for another machine, or to spare many
    /// containers the look.
    pub fn host(mut self, host: Host) -> Self {
        self.host = Some(host);
        self
    }

    /// Tells `observer` how long each phase takes.
    pub fn observer(mut self, observer: Observer) -> Self {
        self.observer = Some(observer);
        self
    }

    /// What [`create`](ContainerBuilder::create) would do. Needs no privileges and has no effect.
    ///
    /// # Errors
    /// Those of the bundle, and what this host cannot honour.
    pub fn plan(&self) -> Result<Plan> {
        self.plan_of(&*self.load()?)
    }

    fn load(&self) -> Result<Cow<'_, Bundle>> {
        Ok(match &self.bundle {
            BundleSource::Loaded(bundle) => Cow::Borrowed(bundle),
            BundleSource::Directory(dir) => Cow::Owned(Bundle::open(dir)?),
        })
    }

    fn plan_of(&self, bundle: &Bundle) -> Result<Plan> {
        let spec = bundle.spec();
        let path = spec.cgroups_path.as_deref().unwrap_or_default();
        // A slice of the system's manager is absolute too.
        let absolute = path.starts_with('/') || self.choices.systemd_cgroup && self.choices.systemd_user_bus.is_none();
        let host = match &self.host {
            Some(host) => host.clone(),
            None => Host {
                // Looked for only when it is asked for.
                resctrl: spec.intel_rdt.as_ref().and_then(|_| Resctrl::probe()),
                ..if absolute { Host::probe_for_absolute_path()? } else { Host::probe()? }
            },
        };
        plan::lower(bundle, &self.id, &host, &self.choices())
    }

    /// Creates the container: everything of the configuration but the program itself is in effect afterwards.
    ///
    /// # Errors
    /// Whatever cannot be honoured, naming the configuration element; nothing of the container is left then.
    pub fn create(self) -> Result<Container> {
        self.make(Starter::Later).map_err(host::name_missing)
    }

    /// Creates and starts the container, without the hand-off between processes that a separate start takes.
    ///
    /// # Errors
    /// Those of [`create`](ContainerBuilder::create) and [`Container::start`].
    pub fn run(self) -> Result<Container> {
        self.make(Starter::Now).map_err(host::name_missing)
    }

    fn make(self, starter: Starter) -> Result<Container> {
        let watch = Stopwatch::start(self.observer.as_ref());
        let bundle = self.load()?;
        watch.lap("load the bundle");
        let mut plan = self.plan_of(&bundle)?;
        self.check(&plan)?;
        watch.lap("plan");
        let (entry, _lock) = Entry::claim(&self.root, &self.id)?;
        let mut undo = Undo::default();
        undo.push(|| drop(entry.remove()));
        let notify_socket = self.make_notify_socket(&entry, starter)?;
        let (record, made) = acquire(&mut plan, &entry, &bundle)?;
        let undo_made = made.clone();
        undo.push(move || drop(undo_made.undo()));
        if let (Some(group), Some(plan)) = (&record.resctrl, &plan.resctrl) {
            let made = group.make(&plan.schemata)?;
            undo.push(|| made.undo());
        }
        watch.lap("claim the id, make the cgroups");
        let places = Places { made: &made, group: record.resctrl.as_ref(), watch: &watch };
        let child = self.launch(&plan, &entry, &places, starter)?;
        undo.defuse();
        let (pid, pidfd) = (Some(child.pid), Some(child.pidfd));
        Ok(Container {
            entry,
            pid,
            pidfd,
            record: Some(record),
            committed: true,
            made_here: true,
            notify_socket,
            ending: Ending::default(),
            observer: self.observer.clone(),
        })
    }

    fn launch(&self, plan: &Plan, entry: &Entry, places: &Places<'_>, starter: Starter) -> Result<Child> {
        let watch = places.watch;
        let preserved = duplicate_preserved(&plan.choices)?;
        let start = if starter == Starter::Later { Some(entry.make_start()?) } else { None };
        if starter == Starter::Now && !plan.hooks.create_container.is_empty() {
            entry.note_cgroups()?;
        }
        let start = start.as_ref().map(|(fifo, report)| (fifo.as_fd(), report.as_fd()));
        let io = Io { start, ..self.stdio.io(&preserved) };
        // The specification: when a hook or a later step fails, the poststop hooks still run.
        let mut undo = Undo::default();
        undo.push(|| drop(run_poststop(plan)));
        let launch = launch::begin(plan, &io, places, nix::unistd::geteuid().is_root())?;
        // While the init builds the root.
        entry.prepare_init(&InitProcess::of(launch.pid())?)?;
        let pid = launch.pid();
        let launch = launch.run_hooks()?.hand_listener_over("creating", pid)?;
        watch.lap("hooks of the runtime's namespaces, seccomp agent");
        let child = match starter {
            Starter::Later => {
                let launch = launch.wait_ready()?;
                watch.lap("the init makes the container");
                entry.commit_init()?;
                launch.leave()?
            }
            Starter::Now => {
                let (child, moved) = launch.go()?;
                watch.lap("the init makes the container and executes the program");
                let state = launch::hook_state(plan, "running", Some(child.pid));
                // Only now: whoever entered the container while its root is being built would be among the host's files.
                let recorded = entry.commit_init();
                let begun = recorded.and_then(|()| hooks::run("poststart", &plan.hooks.poststart, &state));
                if let Err(error) = begun {
                    let _ = pidfd::signal(&child.pidfd, libc::SIGKILL);
                    let _ = pidfd::wait(&child.pidfd);
                    return Err(error);
                }
                if let Some(devices) = moved {
                    devices.keep();
                }
                child
            }
        };
        undo.defuse();
        watch.lap("record the first process, poststart hooks");
        Ok(child)
    }

    /// What the caller chose must fit the configuration.
    fn check(&self, plan: &Plan) -> Result<()> {
        check::user_namespace(plan)?;
        check::rootfs(plan)?;
        check::security_modules(plan)?;
        if plan.choices.systemd_cgroup {
            cgroup::systemd_must_run()?;
        }
        self.stdio.must_fit(plan.process.terminal)
    }
}

/// Records what was chosen and makes the cgroups.
fn acquire(plan: &mut Plan, entry: &Entry, bundle: &Bundle) -> Result<(Record, Made)> {
    let mut record = Record::new(plan, Cgroup::chosen(&plan.cgroup), bundle.config());
    record.cgroup.must_keep_from_devices(&plan.cgroup.devices)?;
    // Before the first effect: whoever finds this after a crash knows what to clean up.
    entry.write_record(&record)?;
    let made = record.cgroup.make(&plan.cgroup)?;
    if made.cgroup() != &record.cgroup {
        record.cgroup = made.cgroup().clone();
        entry.write_record(&record)?;
    }
    if made.cgroup().paths() != &plan.cgroup.paths {
        // No right to make any, and none asked for.
        plan.stay_in_own_cgroup();
    }
    Ok((record, made))
}

/// Duplicates of the caller's descriptors that the program gets; the caller's own stay untouched.
pub(super) fn duplicate_preserved(choices: &Choices) -> Result<Vec<OwnedFd>> {
    let count = choices.listen_fds.saturating_add(choices.preserve_fds);
    let numbers = (3..).take(count as usize);
    numbers
        .map(|number| sys::fdpass::duplicate(number).map_err(|e| Error::os(format!("pass on descriptor {number}"), e)))
        .collect()
}

fn run_poststop(plan: &Plan) -> Vec<Error> {
    let state = launch::hook_state(plan, "stopped", None);
    poststop_errors(&plan.hooks.poststop, &state)
}
