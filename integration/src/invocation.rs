//! One invocation of the runtime: its command line, its standard streams, and a time limit that turns a hang into a failure.

use crate::Sandbox;
use std::ffi::OsString;
use std::fs::File;
use std::os::fd::OwnedFd;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

/// A command to be: global options, the verb, its options, and operands, in this order.
pub struct Invocation<'t> {
    sandbox: &'t Sandbox,
    globals: Vec<OsString>,
    verb: String,
    options: Vec<OsString>,
    operands: Vec<OsString>,
    variables: Vec<(String, String)>,
    descriptors: Vec<(u8, PathBuf)>,
    directory: Option<PathBuf>,
    unprivileged: bool,
    behind: Option<String>,
    in_user_namespace: bool,
    terminal: Option<PathBuf>,
    input: Option<PathBuf>,
    stdin: Option<OwnedFd>,
}

impl<'t> Invocation<'t> {
    pub(crate) fn new(sandbox: &'t Sandbox, verb: &str, operands: &[&str]) -> Invocation<'t> {
        Invocation {
            sandbox,
            globals: vec!["--root".into(), sandbox.state_root().into()],
            verb: verb.into(),
            options: Vec::new(),
            operands: operands.iter().map(OsString::from).collect(),
            variables: Vec::new(),
            descriptors: Vec::new(),
            directory: None,
            unprivileged: false,
            behind: None,
            in_user_namespace: false,
            terminal: None,
            input: None,
            stdin: None,
        }
    }

    /// Adds an option before the verb.
    pub fn global(mut self, option: impl Into<OsString>) -> Self {
        self.globals.push(option.into());
        self
    }

    /// Adds an option after the verb.
    pub fn option(mut self, option: impl Into<OsString>) -> Self {
        self.options.push(option.into());
        self
    }

    /// Adds an operand at the end.
    pub fn operand(mut self, operand: impl Into<OsString>) -> Self {
        self.operands.push(operand.into());
        self
    }

    /// Sets an environment variable of the runtime.
    pub fn variable(mut self, name: &str, value: &str) -> Self {
        self.variables.push((name.into(), value.into()));
        self
    }

    /// Gives the runtime a file descriptor (3 to 9) without the close-on-exec flag, opened for reading and writing.
    pub fn descriptor(mut self, number: u8, file: impl Into<PathBuf>) -> Self {
        self.descriptors.push((number, file.into()));
        self
    }

    /// Sets the runtime's working directory.
    pub fn directory(mut self, directory: impl Into<PathBuf>) -> Self {
        self.directory = Some(directory.into());
        self
    }

    /// Runs the runtime as nobody, without capabilities.
    pub fn unprivileged(mut self) -> Self {
        self.unprivileged = true;
        self
    }

    /// Runs a shell script first, in the process that becomes the runtime.
    pub fn behind(mut self, script: &str) -> Self {
        self.behind = Some(script.to_owned());
        self
    }

    /// Runs the runtime so that these system calls fail with the error, to it and to all that it starts.
    ///
    /// # Panics
    /// When the program that does it has not been built.
    pub fn without_calls(self, calls: &str, errno: i32) -> Self {
        let words = crate::runtime::without(calls, errno);
        let words: Vec<String> = words.iter().map(|word| format!("'{}'", word.display())).collect();
        self.behind(&format!("exec {} \"$@\"", words.join(" ")))
    }

    /// Runs the runtime, and what it is [`behind`](Self::behind), as root of a user namespace of its own.
    pub fn in_user_namespace(mut self) -> Self {
        self.in_user_namespace = true;
        self
    }

    /// Makes the terminal device at `path` the three standard streams.
    pub fn terminal(mut self, path: impl Into<PathBuf>) -> Self {
        self.terminal = Some(path.into());
        self
    }

    /// Gives the runtime this text as its standard input, which is empty otherwise.
    pub fn input(mut self, text: &str) -> Self {
        self.input = Some(self.sandbox.new_file(text));
        self
    }

    /// Gives the runtime this file or socket as its standard input.
    pub fn stdin(mut self, file: impl Into<OwnedFd>) -> Self {
        self.stdin = Some(file.into());
        self
    }

    /// Everything up to the runtime's own arguments: entering the view, the descriptors, the privileges.
    fn wrapper(&self) -> Vec<OsString> {
        let mut words: Vec<OsString> = self.sandbox.view_prefix().into_iter().map(OsString::from).collect();
        if self.directory.is_some() || !self.descriptors.is_empty() {
            let mut script = String::new();
            if let Some(directory) = &self.directory {
                script += &format!("cd '{}' && ", directory.display());
            }
            for (number, file) in &self.descriptors {
                script += &format!("exec {number}<>'{}' && ", file.display());
            }
            if self.variables.iter().any(|(name, _)| name == "LISTEN_FDS") {
                script += "export LISTEN_PID=$$ && ";
            }
            words.extend(["sh", "-c", &format!("{script}exec \"$@\""), "sh"].map(OsString::from));
        }
        if self.in_user_namespace {
            words.extend(["unshare", "--user", "--map-root-user"].map(OsString::from));
        }
        if let Some(script) = &self.behind {
            words.extend(["sh", "-c", &format!("{script}\nexec \"$@\""), "sh"].map(OsString::from));
        }
        if self.unprivileged {
            let options = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "--inh-caps=-all"];
            words.extend(options.map(OsString::from));
        }
        words
    }

    /// Starts the command.
    ///
    /// # Panics
    /// When it cannot be started.
    pub fn spawn(self) -> Running {
        let mut words = self.wrapper();
        words.extend(self.sandbox.program().iter().map(OsString::from));
        words.extend(self.globals);
        words.push(self.verb.into());
        words.extend(self.options);
        words.extend(self.operands);
        let mut command = Command::new(&words[0]);
        command.args(&words[1..]).envs(self.variables).env(self.sandbox.marker_name(), self.sandbox.marker_value());
        // Files, not pipes: a container that outlives the command keeps its output open.
        let (stdout, stderr) = (self.sandbox.new_path("stdout"), self.sandbox.new_path("stderr"));
        match &self.terminal {
            None => {
                let input = self.input.map(|path| File::open(path).unwrap().into());
                command.stdin(self.stdin.or(input).map_or(Stdio::null(), Stdio::from));
                command.stdout(File::create(&stdout).unwrap()).stderr(File::create(&stderr).unwrap());
            }
            Some(path) => {
                let open = || File::options().read(true).write(true).open(path).unwrap();
                command.stdin(open()).stdout(open()).stderr(open());
            }
        }
        let description = format!("{words:?}");
        let child = command.spawn().unwrap_or_else(|error| panic!("{description}: {error}"));
        Running { child, description, stdout, stderr, deadline: Instant::now() + crate::patience() }
    }

    /// Runs the command to its end.
    ///
    /// # Panics
    /// When it does not end in time.
    pub fn run(self) -> Output {
        self.spawn().wait()
    }

    /// Runs the command, which must succeed.
    ///
    /// # Panics
    /// When it fails.
    pub fn ok(self) -> Output {
        let output = self.run();
        assert_eq!(output.code(), 0, "should have succeeded: {output}");
        output
    }

    /// Runs the command, which must fail with exit code `code`, having said something on standard error.
    ///
    /// # Panics
    /// When it does not.
    pub fn fails(self, code: i32) -> Output {
        let output = self.run();
        assert_eq!(output.code(), code, "should have failed with {code}: {output}");
        assert!(!output.stderr().trim().is_empty(), "failed in silence: {output}");
        output
    }
}

/// A command that has been started.
pub struct Running {
    child: Child,
    description: String,
    stdout: PathBuf,
    stderr: PathBuf,
    deadline: Instant,
}

impl Running {
    /// The process id of the runtime.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// What it and its container have written to standard output so far.
    pub fn stdout(&self) -> String {
        read(&self.stdout)
    }

    /// Sends it a signal, by `kill(1)`'s name for it.
    ///
    /// # Panics
    /// When it cannot be sent.
    pub fn signal(&self, name: &str) {
        let status = Command::new("kill").args(["-s", name, &self.pid().to_string()]).status().unwrap();
        assert!(status.success(), "kill -s {name}");
    }

    /// Waits for its end.
    ///
    /// # Panics
    /// When it does not end within the time limit; it is killed then.
    pub fn wait(mut self) -> Output {
        let Some(output) = self.end() else {
            let (stdout, stderr) = (read(&self.stdout), read(&self.stderr));
            panic!("hung: {}\nstdout: {stdout}\nstderr: {stderr}", self.description);
        };
        output
    }

    /// Waits for its end, for a runtime that is not what is tested; nothing when it does not come within the time limit, and it is killed
    /// then.
    pub fn wait_or_kill(mut self) -> Option<Output> {
        self.end()
    }

    fn end(&mut self) -> Option<Output> {
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return Some(Output {
                    status,
                    description: self.description.clone(),
                    stdout: self.stdout.clone(),
                    stderr: self.stderr.clone(),
                });
            }
            if Instant::now() > self.deadline {
                let _ = self.child.kill();
                let _ = self.child.wait();
                return None;
            }
            std::thread::sleep(Duration::from_millis(1));
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // Only when a test fails before it waits; the error when it has ended already is of no interest.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn read(path: &Path) -> String {
    std::fs::read(path).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default()
}

/// How a command ended, and what was written.
#[derive(Clone, Debug)]
pub struct Output {
    status: ExitStatus,
    description: String,
    stdout: PathBuf,
    stderr: PathBuf,
}

impl Output {
    /// The exit code; `-n` when signal n ended the runtime itself.
    pub fn code(&self) -> i32 {
        self.status.code().unwrap_or_else(|| -self.status.signal().unwrap_or(0))
    }

    /// Standard output: the runtime's and, also later, that of the container it created.
    pub fn stdout(&self) -> String {
        read(&self.stdout)
    }

    /// Standard error, as [`Output::stdout`].
    pub fn stderr(&self) -> String {
        read(&self.stderr)
    }
}

impl std::fmt::Display for Output {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}\n{}\nstdout: {}\nstderr: {}", self.description, self.status, self.stdout(), self.stderr())
    }
}
