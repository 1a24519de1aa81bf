//! The facade: a container's verbs, each a recipe over the modules that do the work.

use crate::error::{Error, ErrorKind, Result};
use crate::{Bundle, ContainerId, Plan, State};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

/// A container that exists: created, running or stopped.
#[derive(Debug)]
pub struct Container {
    id: ContainerId,
    root: PathBuf,
    pidfd: Option<OwnedFd>,
}

/// What a container is to be made from; see [`Container::builder`].
#[derive(Debug)]
pub struct ContainerBuilder {
    pub(crate) id: ContainerId,
    pub(crate) root: PathBuf,
    pub(crate) bundle: BundleSource,
    pub(crate) options: Options,
    pub(crate) stdio: [Option<OwnedFd>; 3],
    pub(crate) console_socket: Option<OwnedFd>,
}

#[derive(Debug)]
pub(crate) enum BundleSource {
    Directory(PathBuf),
    Loaded(Box<Bundle>),
}

/// The choices of one `create` that are not in the bundle.
#[derive(Debug, Clone, Default)]
pub(crate) struct Options {
    pub(crate) no_pivot: bool,
    pub(crate) no_new_keyring: bool,
    pub(crate) systemd_cgroup: bool,
    pub(crate) preserve_fds: u32,
}

impl ContainerBuilder {
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

    /// The program's standard input; the caller's own unless set.
    pub fn stdin(mut self, fd: OwnedFd) -> Self {
        self.stdio[0] = Some(fd);
        self
    }

    /// The program's standard output; the caller's own unless set.
    pub fn stdout(mut self, fd: OwnedFd) -> Self {
        self.stdio[1] = Some(fd);
        self
    }

    /// The program's standard error; the caller's own unless set.
    pub fn stderr(mut self, fd: OwnedFd) -> Self {
        self.stdio[2] = Some(fd);
        self
    }

    /// A connected `AF_UNIX` stream socket over which the master of the program's terminal is sent (`SCM_RIGHTS`), as
    /// engines expect it; needed exactly when `process.terminal` is true.
    pub fn console_socket(mut self, socket: OwnedFd) -> Self {
        self.console_socket = Some(socket);
        self
    }

    /// Changes the root with `MS_MOVE` and chroot instead of `pivot_root(2)`, for a rootfs on a ramdisk. Less safe.
    pub fn no_pivot(mut self, yes: bool) -> Self {
        self.options.no_pivot = yes;
        self
    }

    /// Keeps the caller's session keyring instead of a new one.
    pub fn no_new_keyring(mut self, yes: bool) -> Self {
        self.options.no_new_keyring = yes;
        self
    }

    /// Lets systemd make the cgroup; `linux.cgroupsPath` is then `slice:prefix:name`.
    pub fn systemd_cgroup(mut self, yes: bool) -> Self {
        self.options.systemd_cgroup = yes;
        self
    }

    /// Passes the caller's file descriptors 3 to 3 + `count` - 1 to the program.
    pub fn preserve_fds(mut self, count: u32) -> Self {
        self.options.preserve_fds = count;
        self
    }

    /// What [`create`](ContainerBuilder::create) would do. Needs no privileges and has no effect.
    ///
    /// # Errors
    /// Those of the bundle, and what this host cannot honour.
    pub fn plan(&self) -> Result<Plan> {
        Err(Error::new(ErrorKind::Unsupported, "plan"))
    }

    /// Creates the container: everything of the configuration but the program itself is in effect afterwards.
    ///
    /// # Errors
    /// Whatever cannot be honoured, naming the configuration element; nothing of the container is left then.
    pub fn create(self) -> Result<Container> {
        Err(Error::new(ErrorKind::Unsupported, "create"))
    }

    /// Creates and starts the container, without the hand-off between processes that a separate start takes.
    ///
    /// # Errors
    /// Those of [`create`](ContainerBuilder::create) and [`Container::start`].
    pub fn run(self) -> Result<Container> {
        Err(Error::new(ErrorKind::Unsupported, "run"))
    }
}

/// Whether [`Container::delete`] may kill.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Force {
    /// Only a container that is stopped is deleted.
    No,
    /// Whatever still runs in it is killed first.
    Yes,
}

/// How the program ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ExitStatus {
    /// It returned this code.
    Exited(i32),
    /// This signal ended it.
    Signaled(i32),
}

impl ExitStatus {
    /// The code as shells give it: the program's own, or 128 + the signal's number.
    pub fn code(self) -> i32 {
        match self {
            ExitStatus::Exited(code) => code,
            ExitStatus::Signaled(signal) => 128 + signal,
        }
    }
}

impl Container {
    /// Begins a new container.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidId`](crate::ErrorKind::InvalidId).
    pub fn builder(id: &str) -> Result<ContainerBuilder> {
        Ok(ContainerBuilder {
            id: ContainerId::new(id)?,
            root: crate::default_state_root(),
            bundle: BundleSource::Directory(PathBuf::from(".")),
            options: Options::default(),
            stdio: [None, None, None],
            console_socket: None,
        })
    }

    /// Finds a container by its id.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`] when the state directory has none of that id.
    pub fn load(root: impl AsRef<Path>, id: &str) -> Result<Container> {
        let _ = root;
        Err(Error::new(ErrorKind::NotFound, format!("container {id:?} does not exist")))
    }

    /// The states of all containers below `root`, by id. A record that cannot be read is left out and returned in the
    /// second list.
    ///
    /// # Errors
    /// When `root` itself cannot be read; a `root` that does not exist has no containers.
    pub fn list(root: impl AsRef<Path>) -> Result<(Vec<State>, Vec<Error>)> {
        let _ = root;
        Ok((Vec::new(), Vec::new()))
    }

    /// The id.
    pub fn id(&self) -> &ContainerId {
        &self.id
    }

    /// The container's state now, derived from the kernel.
    ///
    /// # Errors
    /// When the record is gone or unreadable.
    pub fn state(&self) -> Result<State> {
        Err(Error::new(ErrorKind::NotFound, format!("container {} does not exist", self.root.display())))
    }

    /// Starts the program of a created container.
    ///
    /// # Errors
    /// [`ErrorKind::WrongStatus`] unless it is created; the error of `execve(2)`; a failed hook.
    pub fn start(&mut self) -> Result<()> {
        Err(Error::new(ErrorKind::Unsupported, "start"))
    }

    /// Sends `signal` to the container's first process.
    ///
    /// # Errors
    /// [`ErrorKind::WrongStatus`] when it is stopped (`container not running`).
    pub fn kill(&self, signal: i32) -> Result<()> {
        let _ = signal;
        Err(Error::new(ErrorKind::Unsupported, "kill"))
    }

    /// Sends `signal` to every process of the container, also when its first one has ended.
    ///
    /// # Errors
    /// When the container's cgroup cannot be read.
    pub fn kill_all(&self, signal: i32) -> Result<()> {
        let _ = signal;
        Err(Error::new(ErrorKind::Unsupported, "kill"))
    }

    /// Waits for the container's first process, which must be a child of this process.
    ///
    /// # Errors
    /// [`ErrorKind::Os`] with `ECHILD` when it is not.
    pub fn wait(&mut self) -> Result<ExitStatus> {
        Err(Error::new(ErrorKind::Unsupported, "wait"))
    }

    /// Removes the container: its cgroup, its state, and with [`Force::Yes`] its processes; then runs the poststop
    /// hooks.
    ///
    /// # Errors
    /// [`ErrorKind::WrongStatus`] when it runs and force is not given.
    pub fn delete(self, force: Force) -> Result<()> {
        let _ = force;
        Err(Error::new(ErrorKind::Unsupported, "delete"))
    }

    /// The pid of the container's first process in the caller's pid namespace, `None` once it has ended.
    pub fn pid(&self) -> Option<i32> {
        None
    }

    /// A pidfd of the container's first process: readable once it has ended. `None` once it was seen to have ended.
    pub fn pidfd(&self) -> Option<BorrowedFd<'_>> {
        self.pidfd.as_ref().map(AsFd::as_fd)
    }
}
