//! A container of a sandbox: its id, its bundle, and the commands on it.

use crate::{Bundle, Invocation, Output, Sandbox, eventually};
use serde_json::Value;
use std::path::{Path, PathBuf};

/// A container that a test may create; its sandbox deletes it at the end.
pub struct Container<'t> {
    sandbox: &'t Sandbox,
    id: String,
    bundle: Bundle,
}

impl<'t> Container<'t> {
    pub(crate) fn new(sandbox: &'t Sandbox, id: String, bundle: Bundle) -> Container<'t> {
        bundle.write();
        Container { sandbox, id, bundle }
    }

    /// The id.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// The bundle.
    pub fn bundle(&self) -> &Bundle {
        &self.bundle
    }

    /// A command on this container; `create` and `run` get the bundle as well.
    pub fn command(&self, verb: &str) -> Invocation<'t> {
        let invocation = self.sandbox.command(verb, &[&self.id]);
        match verb {
            "create" | "run" => invocation.option("--bundle").option(self.bundle.path()),
            _ => invocation,
        }
    }

    /// `create`, which must succeed.
    pub fn create(&self) -> Output {
        self.command("create").ok()
    }

    /// `start`, which must succeed.
    pub fn start(&self) -> Output {
        self.command("start").ok()
    }

    /// `run --detach`, which must succeed.
    pub fn run_detached(&self) -> Output {
        self.command("run").option("--detach").ok()
    }

    /// `kill` with a signal, which must succeed.
    pub fn kill(&self, signal: &str) -> Output {
        self.sandbox.command("kill", &[&self.id, signal]).ok()
    }

    /// `delete`, which must succeed.
    pub fn delete(&self) -> Output {
        self.command("delete").ok()
    }

    /// What `state` prints.
    ///
    /// # Panics
    /// When it fails or does not print JSON.
    pub fn state(&self) -> Value {
        let output = self.command("state").ok();
        serde_json::from_str(&output.stdout()).unwrap_or_else(|error| panic!("{error}: {output}"))
    }

    /// The status that `state` reports.
    pub fn status(&self) -> String {
        self.state()["status"].as_str().unwrap_or_default().to_owned()
    }

    /// The process id that `state` reports.
    pub fn pid(&self) -> i64 {
        self.state()["pid"].as_i64().unwrap()
    }

    /// Waits until `state` reports this status.
    pub fn wait_for(&self, status: &str) {
        eventually(&format!("{} is {status}", self.id), || self.status() == status);
    }

    /// The container's cgroup in the hierarchy of the version 1 controller, or in the unified one on a version 2 view.
    pub fn cgroup(&self, controller: &str) -> PathBuf {
        let path = self.bundle.config["linux"]["cgroupsPath"].as_str().unwrap();
        self.sandbox.hierarchy(controller).join(path.trim_start_matches('/'))
    }

    /// Reads a file of the container's cgroup, without the final newline.
    ///
    /// # Panics
    /// When it cannot be read.
    pub fn cgroup_file(&self, controller: &str, file: &str) -> String {
        let path = self.cgroup(controller).join(file);
        std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path:?}: {error}")).trim_end().to_owned()
    }

    /// Runs the program to its end in the foreground, which must succeed, and returns what it wrote to standard output.
    ///
    /// # Panics
    /// When it fails.
    pub fn stdout(&self) -> String {
        self.command("run").ok().stdout()
    }

    /// A file of the process in `/proc`.
    pub fn proc_file(&self, file: &str) -> PathBuf {
        Path::new("/proc").join(self.pid().to_string()).join(file)
    }
}
