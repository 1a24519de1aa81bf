//! The programs that are compared, and how each is called.

use crate::bundle::Bundles;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Where the runtimes keep their state, in the directory of a measurement: see [`View::within`](crate::view::View::within).
pub(crate) const RUN: &str = "run";

/// The `floor` program or a runtime with runc's command line.
pub struct Program {
    /// What the tables call it.
    pub name: &'static str,
    path: PathBuf,
    measured: PathBuf,
    witness: PathBuf,
    /// Directory for the state of the runtime's containers; the floor has none.
    state: Option<PathBuf>,
}

impl Program {
    /// The floor program at `path`.
    pub fn floor(path: PathBuf, bundles: &Bundles) -> Program {
        Program {
            name: "floor",
            path,
            measured: bundles.measured.clone(),
            witness: bundles.witness.clone(),
            state: None,
        }
    }

    /// The runtime at `path`, or so named in PATH, that keeps its state beneath `directory`.
    pub fn runtime(name: &'static str, path: impl Into<PathBuf>, bundles: &Bundles, directory: &Path) -> Program {
        let state = Some(directory.join(RUN).join(name));
        Program { name, path: path.into(), measured: bundles.measured.clone(), witness: bundles.witness.clone(), state }
    }

    /// Whether it has `create` and `start`.
    pub fn is_runtime(&self) -> bool {
        self.state.is_some()
    }

    /// Where the runtime keeps its containers; no path for the floor.
    pub fn state_directory(&self) -> &Path {
        self.state.as_deref().unwrap_or(Path::new(""))
    }

    /// Runs the measured bundle in the container `id`, to its end.
    pub fn run(&self, id: &str) -> Command {
        self.run_bundle(&self.measured, id)
    }

    /// As [`run`](Program::run), but of the bundle that shows that the container's program ran.
    pub fn run_witness(&self, id: &str) -> Command {
        self.run_bundle(&self.witness, id)
    }

    fn run_bundle(&self, bundle: &Path, id: &str) -> Command {
        match self.state {
            None => quiet(&self.path, [bundle.join("rootfs").as_os_str(), id.as_ref()]),
            Some(_) => self.verb("run", &["--bundle".as_ref(), bundle.as_os_str(), id.as_ref()]),
        }
    }

    /// Creates the container `id`; the process id of its init goes to the file `pid_file`.
    pub fn create(&self, id: &str, pid_file: &Path) -> Command {
        let (bundle, pid_file) = (self.measured.as_os_str(), pid_file.as_os_str());
        self.verb("create", &["--bundle".as_ref(), bundle, "--pid-file".as_ref(), pid_file, id.as_ref()])
    }

    /// Starts the program of the container `id`.
    pub fn start(&self, id: &str) -> Command {
        self.verb("start", &[id.as_ref()])
    }

    /// Runs `bundle` in the container `id` and leaves it.
    pub fn run_detached(&self, bundle: &Path, id: &str) -> Command {
        self.verb("run", &["--detach".as_ref(), "--bundle".as_ref(), bundle.as_os_str(), id.as_ref()])
    }

    /// Runs one more program in the container `id`.
    pub fn exec(&self, id: &str, program: &[&str]) -> Command {
        let mut command = self.verb("exec", &[id.as_ref()]);
        command.args(program);
        command
    }

    /// Asks for the state of the container `id`.
    pub fn state(&self, id: &str) -> Command {
        self.verb("state", &[id.as_ref()])
    }

    /// Removes the container `id`, whatever its status.
    pub fn delete(&self, id: &str) -> Command {
        self.verb("delete", &["--force".as_ref(), id.as_ref()])
    }

    /// Any other command of the runtime.
    pub fn verb(&self, verb: &str, arguments: &[&std::ffi::OsStr]) -> Command {
        let root = self.state.as_deref().unwrap_or(Path::new("/nonexistent"));
        let mut command = quiet(&self.path, ["--root".as_ref(), root.as_os_str(), verb.as_ref()]);
        command.args(arguments);
        command
    }
}

fn quiet<'a>(path: &Path, arguments: impl IntoIterator<Item = &'a std::ffi::OsStr>) -> Command {
    let mut command = Command::new(path);
    command.args(arguments).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command
}

/// The command as a user would type it, for messages.
pub fn shown(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    words.map(|word| word.to_string_lossy()).collect::<Vec<_>>().join(" ")
}
