//! The surroundings of one test: a view, a state directory, bundles, unique names, and the check that nothing remains.

use crate::differences::difference;
use crate::host_view::Holder;
use crate::leftovers::Search;
use crate::runtime::without;
use crate::{Bundle, Container, HostView, Invocation, Runtime};
use std::cell::RefCell;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

const MARKER: &str = "CORTEN_TEST";

/// See the module.
pub struct Sandbox {
    name: String,
    marker: String,
    runtime: Runtime,
    /// The runtime, and before it what takes system calls away from it.
    program: Vec<PathBuf>,
    view: HostView,
    holder: RefCell<Holder>,
    directory: tempfile::TempDir,
    counter: AtomicU32,
    containers: RefCell<Vec<String>>,
}

impl Sandbox {
    /// A fresh sandbox.
    ///
    /// # Panics
    /// When the test does not run as root.
    pub fn new(view: HostView) -> Sandbox {
        Sandbox::of(view, Runtime::from_environment())
    }

    /// A fresh sandbox for a runtime, whatever the environment says: for tests that compare two.
    ///
    /// # Panics
    /// When the test does not run as root.
    pub fn of(view: HostView, runtime: Runtime) -> Sandbox {
        static COUNTER: AtomicU32 = AtomicU32::new(0);
        assert!(rustix::process::geteuid().is_root(), "these tests need root");
        let name = format!("corten-test-{}-{}.", std::process::id(), COUNTER.fetch_add(1, Ordering::Relaxed));
        let directory = tempfile::Builder::new().prefix(&name).tempdir().unwrap();
        // The processes of a user namespace, who are nobody here, have to pass.
        rustix::fs::chmod(directory.path(), rustix::fs::Mode::from_raw_mode(0o755)).unwrap();
        Sandbox {
            marker: format!("{MARKER}={name}"),
            name,
            runtime,
            program: runtime.command(),
            view,
            holder: RefCell::new(Holder::new(view)),
            directory,
            counter: AtomicU32::new(0),
            containers: RefCell::new(Vec::new()),
        }
    }

    /// The same with a runtime to which these system calls are not there (`ENOSYS`).
    ///
    /// # Panics
    /// When the program that does it has not been built.
    pub fn without_calls(mut self, calls: &str) -> Sandbox {
        let runtime = self.program.pop().unwrap();
        self.program = without(calls, libc::ENOSYS).into_iter().chain([runtime]).collect();
        self
    }

    /// Starts somebody who takes the containers, cgroups and files of this sandbox away when this process ends without having done so: it
    /// was killed. For a test that goes on for long.
    ///
    /// # Panics
    /// When it cannot be started.
    pub fn guard(&self) -> Guard {
        let script = r#"cat > /dev/null; sleep 1
            [ -d "$1" ] || exit 0
            for container in "$1"/state/*; do "$3" --root "$1/state" delete --force "${container##*/}"; done
            find /sys/fs/cgroup -depth -type d -name "$2*" -exec rmdir {} +
            rm -rf --one-file-system "$1""#;
        let mut words = self.view_prefix();
        words.extend(["setsid", "sh", "-c", script, "sh"].map(String::from));
        let mut command = Command::new(&words[0]);
        command.args(&words[1..]).arg(self.directory.path()).arg(&self.name).arg(self.runtime.program());
        let child = command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        Guard(child)
    }

    /// The runtime under test.
    pub fn runtime(&self) -> Runtime {
        self.runtime
    }

    /// The view of the cgroup hierarchies.
    pub fn view(&self) -> HostView {
        self.view
    }

    /// Whether the runtime under test is known to differ in what `key` names (see [`crate::DIFFERENCES`]); prints why.
    pub fn differs(&self, key: &str) -> bool {
        let Some(reason) = difference(self.runtime, key) else { return false };
        eprintln!("known difference of {}: {key}: {reason}", self.runtime.name());
        true
    }

    /// A new name that leads back to this sandbox.
    pub fn unique_name(&self) -> String {
        format!("{}{}", self.name, self.counter.fetch_add(1, Ordering::Relaxed))
    }

    /// A new path in the sandbox's directory.
    pub fn new_path(&self, purpose: &str) -> PathBuf {
        self.directory.path().join(format!("{purpose}.{}", self.counter.fetch_add(1, Ordering::Relaxed)))
    }

    /// A new directory.
    pub fn new_directory(&self) -> PathBuf {
        let path = self.new_path("directory");
        std::fs::create_dir(&path).unwrap();
        path
    }

    /// A new file.
    pub fn new_file(&self, contents: &str) -> PathBuf {
        let path = self.new_path("file");
        std::fs::write(&path, contents).unwrap();
        path
    }

    /// The directory that `--root` names.
    pub fn state_root(&self) -> PathBuf {
        self.directory.path().join("state")
    }

    /// Runs a shell script in the mount namespace of the view, where what it mounts is seen by the runtime and not by the machine.
    /// Call it before the first container, because it may have to make that namespace.
    ///
    /// # Panics
    /// When the script fails.
    pub fn host_shell(&self, script: &str) {
        if !self.holder.borrow().is_private() {
            *self.holder.borrow_mut() = Holder::private(self.view);
        }
        let prefix = self.view_prefix();
        let status = Command::new(&prefix[0]).args(&prefix[1..]).args(["sh", "-ec", script]).status().unwrap();
        assert!(status.success(), "{script}: {status}");
    }

    /// A new bundle with the default configuration, whose program is a shell.
    pub fn bundle(&self) -> Bundle {
        let directory = self.new_path("bundle");
        Bundle::new(directory, &format!("/{}", self.unique_name()), &self.marker, self.view.is_unified())
    }

    /// A new bundle with the default configuration, without any program.
    pub fn bare_bundle(&self) -> Bundle {
        let directory = self.new_path("bundle");
        Bundle::bare(directory, &format!("/{}", self.unique_name()), &self.marker, self.view.is_unified())
    }

    /// A container, yet to be created, of that bundle.
    pub fn container(&self, bundle: Bundle) -> Container<'_> {
        let id = self.unique_name();
        self.containers.borrow_mut().push(id.clone());
        Container::new(self, id, bundle)
    }

    /// Runs the bundle's program in the foreground, which must succeed; returns its standard output.
    pub fn output_of(&self, bundle: Bundle) -> String {
        self.container(bundle).stdout()
    }

    /// A command of the runtime.
    pub fn command(&self, verb: &str, operands: &[&str]) -> Invocation<'_> {
        Invocation::new(self, verb, operands)
    }

    /// The mount point of a version 1 controller's hierarchy, or of the unified one on a version 2 view, by the machine's
    /// own mounts.
    pub fn hierarchy(&self, controller: &str) -> PathBuf {
        let root = Path::new("/sys/fs/cgroup");
        match (self.view.is_unified(), root.join("cgroup.controllers").exists()) {
            (true, true) => root.into(),
            (true, false) => root.join("unified"),
            (false, _) => root.join(controller),
        }
    }

    /// Fails if the runtime has left anything behind: a process, a cgroup, a mount, a state directory.
    ///
    /// # Panics
    /// When it has.
    pub fn assert_nothing_left(&self) {
        let found = self.search(|search| search.find_settled());
        assert!(found.is_empty(), "left behind: {found:#?}");
    }

    /// Takes away what the runtime has left, for a runtime that is not what is tested.
    pub fn forgive(&self) {
        self.delete_all();
        self.search(|search| search.clear());
    }

    /// The command words that run the words after them in the view.
    pub fn prefix_of_view(&self) -> Vec<String> {
        self.view_prefix()
    }

    pub(crate) fn program(&self) -> &[PathBuf] {
        &self.program
    }

    pub(crate) fn view_prefix(&self) -> Vec<String> {
        self.holder.borrow().prefix()
    }

    pub(crate) fn marker_name(&self) -> &str {
        MARKER
    }

    pub(crate) fn marker_value(&self) -> &str {
        &self.name
    }

    fn search<T>(&self, act: impl FnOnce(&Search<'_>) -> T) -> T {
        act(&Search {
            name: &self.name,
            marker: &self.marker,
            directory: self.directory.path(),
            state_root: &self.state_root(),
            mountinfo: &self.holder.borrow().mountinfo(),
        })
    }

    fn delete_all(&self) {
        if std::fs::read_dir(self.state_root()).is_ok_and(|mut entries| entries.next().is_some()) {
            for id in self.containers.borrow().iter() {
                if self.state_root().join(id).exists() {
                    self.command("delete", &[id]).option("--force").run();
                }
            }
        }
    }

    /// Deletes all containers, then says what is left all the same.
    fn clean(&self) -> Vec<String> {
        self.delete_all();
        self.search(|search| search.find_settled())
    }
}

/// See [`Sandbox::guard`]; to be dropped after the sandbox.
pub struct Guard(Child);

impl Drop for Guard {
    fn drop(&mut self) {
        // The end of its standard input is the end of the test.
        drop(self.0.stdin.take());
        let _ = self.0.wait();
    }
}

impl Drop for Sandbox {
    fn drop(&mut self) {
        if self.runtime == Runtime::Crun {
            // In a user namespace it gives the machine's own null device away.
            let _ = std::os::unix::fs::chown("/dev/null", Some(0), Some(0));
        }
        let failed = std::thread::panicking();
        let found = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| self.clean()));
        let found = found.unwrap_or_else(|_| vec!["delete --force failed".into()]);
        if found.is_empty() {
            return;
        }
        self.search(|search| search.clear());
        // A second panic would abort the process and hide the first.
        if failed {
            eprintln!("left behind by the failed test: {found:#?}");
        } else {
            panic!("left behind after delete --force: {found:#?}");
        }
    }
}
