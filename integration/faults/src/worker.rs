//! One operation on one kind of container: tried with each fault, and judged.

use crate::bundle::{self, DEVICE, Kind, Program};
use crate::bystander::Bystander;
use crate::explained;
use crate::operation::Operation;
use crate::partners::Partners;
use crate::trace::{self, Fault, Other, Outcome, Step};
use crate::trial::{self, Trial};
use crate::watchdog::Watchdog;
use crate::{leftovers, missing};
use std::cell::RefCell;
use std::collections::BTreeSet;
use std::fs::File;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// How long the container's program may take to say something.
const PATIENCE: Duration = Duration::from_secs(30);

/// The exit code of a command whose program SIGKILL ended.
pub(crate) const KILLED: i32 = 137;

/// What a worker is to do.
pub(crate) struct Task {
    /// The program under test.
    pub(crate) corten: PathBuf,
    /// Cgroup version 2 only.
    pub(crate) unified: bool,
    /// On which containers.
    pub(crate) kind: Kind,
    /// With which command.
    pub(crate) operation: Operation,
    /// Only each so-many-th fault, beginning with this one.
    pub(crate) every: usize,
    /// See `every`.
    pub(crate) first: usize,
    /// Print what the failures say.
    pub(crate) messages: bool,
    /// Let all calls of a kind fail, not one.
    pub(crate) missing: bool,
    /// Let other commands come while it is held at a step.
    pub(crate) meanwhile: bool,
    /// systemd makes the cgroups.
    pub(crate) systemd: bool,
}

/// Where it works, and what it compares with.
pub(crate) struct Worker {
    pub(crate) task: Task,
    directory: PathBuf,
    cgroup: String,
    partners: Partners,
    watchdog: Watchdog,
    host: Vec<String>,
    mounts: BTreeSet<String>,
    net_devices: Vec<String>,
    bundle_names: Vec<String>,
    bystander: Option<Bystander>,
    /// What the first success said.
    speech: RefCell<Option<Vec<String>>>,
}

impl Worker {
    /// Makes the bundles and a container beside, and takes all orphans from now on.
    pub(crate) fn new(task: Task, directory: PathBuf) -> Worker {
        let cgroup = cgroup_of(&task, "");
        std::fs::set_permissions(&directory, std::fs::Permissions::from_mode(0o711)).unwrap();
        for name in ["state", "tmp", "out", "partners", "bundles", "bystander"] {
            std::fs::create_dir(directory.join(name)).unwrap();
        }
        let partners = Partners::start(&directory.join("partners"), task.kind, &directory.join("state/container"));
        bundle::make(
            &directory.join("bundles"),
            task.kind,
            task.unified,
            &configured_cgroup(&task, ""),
            &partners.agent(),
        );
        let beside = if task.kind == Kind::User { Kind::User } else { Kind::Plain };
        let its_cgroup = configured_cgroup(&task, "-bystander");
        bundle::make(&directory.join("bystander"), beside, task.unified, &its_cgroup, &partners.agent());
        let resources = match task.unified {
            true => {
                r#"{"devices": [{"allow": false, "access": "rwm"}, {"allow": true, "type": "c", "major": 1, "minor": 11, "access": "rwm"}]}"#
            }
            false => r#"{"pids": {"limit": 77}}"#,
        };
        std::fs::write(directory.join("resources.json"), resources).unwrap();
        let mut worker = Worker {
            cgroup,
            partners,
            watchdog: Watchdog::new(),
            host: bundle::own_namespaces(),
            mounts: leftovers::mounts(),
            net_devices: net_devices(),
            bundle_names: Vec::new(),
            bystander: None,
            speech: RefCell::default(),
            task,
            directory,
        };
        let bystander = worker.directory.join("bystander/waits").display().to_string();
        worker.must(&["run", "--detach", "--bundle", &bystander, "bystander"]).unwrap();
        let pid = worker.first_pid_of("bystander").expect("the container beside runs");
        let state = worker.directory.join("state/bystander");
        worker.bystander = Some(Bystander::new(pid, &state, &cgroup_of(&worker.task, "-bystander")));
        nix::sys::prctl::set_child_subreaper(true).unwrap();
        worker
    }

    /// The container's id.
    pub(crate) fn id(&self) -> &'static str {
        "container"
    }

    /// The bundle with the program.
    pub(crate) fn bundle(&self, program: Program) -> PathBuf {
        self.directory.join("bundles").join(program.directory())
    }

    /// What `update` is given.
    pub(crate) fn resources(&self) -> PathBuf {
        self.directory.join("resources.json")
    }

    fn output(&self, name: &str) -> PathBuf {
        self.directory.join("out").join(name)
    }

    fn command(&self, words: &[&str], name: &str) -> Command {
        let mut command = Command::new(&self.task.corten);
        command.env("TMPDIR", self.directory.join("tmp"));
        if self.task.kind == Kind::Notify && words.last() != Some(&"bystander") {
            command.env("NOTIFY_SOCKET", self.partners.manager());
        }
        command.arg("--root").arg(self.directory.join("state"));
        if self.task.systemd {
            command.arg("--systemd-cgroup");
        }
        command.args(words);
        self.with_output(command, name)
    }

    fn with_output(&self, mut command: Command, name: &str) -> Command {
        let file = |kind: &str| Stdio::from(File::create(self.output(&format!("{name}.{kind}"))).unwrap());
        // Files and not pipes: a container goes on with what its create had.
        command.stdin(Stdio::null()).stdout(file("out")).stderr(file("err"));
        command
    }

    /// The words of a command, with what it needs for the container's terminal if it has one.
    pub(crate) fn with_terminal(&self, mut words: Vec<String>) -> Vec<String> {
        if self.task.kind != Kind::Terminal {
            return words;
        }
        let verb = words.first().cloned().unwrap_or_default();
        if verb == "create" || words.iter().any(|word| word == "--detach") {
            words.splice(1..1, ["--console-socket".to_owned(), self.partners.console().display().to_string()]);
        }
        if verb == "exec" {
            words.insert(1, "--tty".to_owned());
        }
        words
    }

    /// A command in the foreground has a terminal as well, if the container has one.
    fn on_a_terminal(&self, mut command: Command) -> Command {
        if self.task.kind == Kind::Terminal && self.task.operation.waits_for_program() {
            let pair = nix::pty::openpty(None, None).expect("a terminal");
            for end in [&pair.master, &pair.slave] {
                use nix::fcntl::{FcntlArg, FdFlag, fcntl};
                fcntl(end, FcntlArg::F_SETFD(FdFlag::FD_CLOEXEC)).expect("fcntl");
            }
            self.partners.follow(pair.master);
            command.stdin(pair.slave.try_clone().expect("a descriptor")).stdout(pair.slave);
        }
        command
    }

    /// The network device that the container is to get, unless it is there. The kernel may still be taking away the one before, which
    /// is in a namespace that has ended; with its peer it goes at once.
    pub(crate) fn make_device(&self) -> Result<(), String> {
        if self.task.kind != Kind::Device {
            return Ok(());
        }
        let ip = |words: &[&str]| match self.wait_for(self.with_output(command_of("ip", words), "ip")) {
            Ok(Some(0)) => Ok(()),
            _ => Err(format!("ip {}: {}", words.join(" "), self.text("ip.err").trim())),
        };
        self.eventually(|| {
            let there = leftovers::net_devices();
            let is_there = |name: &str| there.iter().any(|device| device == name);
            if is_there(DEVICE) {
                return Ok(());
            }
            if is_there(PEER) {
                let _ = ip(&["link", "del", PEER]);
            }
            ip(&["link", "add", DEVICE, "type", "veth", "peer", "name", PEER])
        })
    }

    pub(crate) fn text(&self, name: &str) -> String {
        String::from_utf8_lossy(&std::fs::read(self.output(name)).unwrap_or_default()).into_owned()
    }

    /// Runs a command of the runtime without any fault; its exit code.
    fn plainly(&self, words: &[&str], name: &str) -> Result<i32, String> {
        match self.wait_for(self.command(words, name)) {
            Err(Hung) => Err(format!("{} hangs", words.join(" "))),
            Ok(code) => Ok(code.unwrap_or(-1)),
        }
    }

    #[allow(clippy::zombie_processes, reason = "reap_until reaps it")]
    fn wait_for(&self, mut command: Command) -> Result<Option<i32>, Hung> {
        let child = command.spawn().expect("start the runtime");
        self.watchdog.arm();
        self.watchdog.watch(child.id() as i32);
        let code = leftovers::reap_until(child.id() as i32);
        if self.watchdog.disarm() { Err(Hung) } else { Ok(code) }
    }

    /// Runs a command of the runtime that has to succeed.
    pub(crate) fn must(&self, words: &[&str]) -> Result<(), String> {
        match self.plainly(words, "plain")? {
            0 => Ok(()),
            code => Err(format!("{}: exit code {code}: {}", words.join(" "), self.text("plain.err").trim())),
        }
    }

    /// `create` or `run` of the bundle with the program.
    pub(crate) fn run_bundle(&self, verb: &[&str], program: Program) -> Result<(), String> {
        let bundle = self.bundle(program).display().to_string();
        let words = [verb, &["--bundle", &bundle, self.id()]].concat();
        let words = self.with_terminal(words.into_iter().map(str::to_owned).collect());
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        self.make_device()?;
        match self.plainly(&words, "prepared")? {
            0 => Ok(()),
            code => Err(format!("{}: exit code {code}: {}", words.join(" "), self.text("prepared.err").trim())),
        }
    }

    pub(crate) fn status(&self) -> Result<String, String> {
        let code = self.plainly(&["state", self.id()], "state")?;
        let state: serde_json::Value = serde_json::from_str(&self.text("state.out")).unwrap_or_default();
        match state["status"].as_str() {
            Some(status) if code == 0 => Ok(status.to_owned()),
            _ => Err(format!("state: exit code {code}: {}", self.text("state.err").trim())),
        }
    }

    /// The container has this status.
    pub(crate) fn status_is(&self, wanted: &str) -> Result<(), String> {
        match self.status()? {
            status if status == wanted => Ok(()),
            status => Err(format!("it is {status}, not {wanted}")),
        }
    }

    /// The container will have this status.
    pub(crate) fn wait_for_status(&self, wanted: &str) -> Result<(), String> {
        self.eventually(|| self.status_is(wanted))
    }

    fn eventually(&self, mut condition: impl FnMut() -> Result<(), String>) -> Result<(), String> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            match condition() {
                Err(_) if Instant::now() < deadline => std::thread::sleep(Duration::from_millis(2)),
                result => return result,
            }
        }
    }

    /// There is no such container, nor anything of it.
    pub(crate) fn is_gone(&self) -> Result<(), String> {
        if let Ok(status) = self.status() {
            return Err(format!("it is still there, {status}"));
        }
        match self.leftovers() {
            left if left.is_empty() => Ok(()),
            left => Err(format!("it left {}", left.join(", "))),
        }
    }

    /// The program says what it said the first time, when nothing had gone wrong.
    pub(crate) fn speaks_as_ever(&self, output: &Path) -> Result<(), String> {
        let said =
            || bundle::normalised(&String::from_utf8_lossy(&std::fs::read(output).unwrap_or_default()), &self.host);
        self.eventually(|| said().map(drop).ok_or_else(|| "the program did not say everything".to_owned()))?;
        let mut said = said().unwrap_or_default();
        said.extend(
            std::fs::read_to_string(self.directory.join("bundles/hooks.log"))
                .unwrap_or_default()
                .lines()
                .map(Into::into),
        );
        self.as_ever(said)
    }

    /// The command prints what it printed the first time, but for what is of the moment.
    pub(crate) fn prints_as_ever(&self, output: &Path) -> Result<(), String> {
        let text = std::fs::read_to_string(output).unwrap_or_default();
        let lines = text.lines().filter(|line| !line.contains("\"created\"") && !line.contains("\"pid\""));
        let without_numbers = |line: &str| {
            line.split_whitespace()
                .filter(|word| !word.starts_with(|c: char| c.is_ascii_digit()))
                .collect::<Vec<_>>()
                .join(" ")
        };
        self.as_ever(lines.map(without_numbers).collect())
    }

    fn as_ever(&self, said: Vec<String>) -> Result<(), String> {
        let mut speech = self.speech.borrow_mut();
        let ever = speech.get_or_insert_with(|| said.clone());
        if *ever == said {
            return Ok(());
        }
        let missing = ever.iter().filter(|line| !said.contains(line)).map(|line| format!("-{line}"));
        let new = said.iter().filter(|line| !ever.contains(line)).map(|line| format!("+{line}"));
        Err(format!("it says something else: {}", missing.chain(new).take(8).collect::<Vec<_>>().join(" | ")))
    }

    /// `update` had its effect.
    pub(crate) fn is_updated(&self) -> Result<(), String> {
        if self.task.unified && self.task.kind == Kind::User {
            // The node is the host's, on which its root has no right anyway.
            return self.status_is("running");
        }
        if self.task.unified {
            // Opened by the container's own root: by its user it may be only written.
            return self.must(&["exec", "--user", "0", self.id(), "/bin/sh", "-c", ": >/dev/kmsg"]);
        }
        let limit = Path::new("/sys/fs/cgroup/pids").join(self.cgroup.trim_start_matches('/')).join("pids.max");
        match std::fs::read_to_string(limit).unwrap_or_default().trim() {
            "77" => Ok(()),
            other => Err(format!("pids.max is {other}")),
        }
    }

    /// What is left of the container, if it should be gone.
    fn leftovers(&self) -> Vec<String> {
        let mut left = Vec::new();
        left.extend(leftovers::processes());
        left.extend(leftovers::cgroups(&self.cgroup));
        if self.task.systemd {
            left.extend(leftovers::unit(&self.cgroup));
        }
        let state = leftovers::names(&self.directory.join("state"));
        left.extend(state.into_iter().filter(|name| name != "bystander").map(|name| format!("state {name}")));
        left.extend(
            leftovers::names(&self.directory.join("tmp")).into_iter().map(|name| format!("temporary file {name}")),
        );
        let mounts = leftovers::mounts();
        left.extend(mounts.difference(&self.mounts).map(|mount| format!("mount {mount}")));
        if net_devices() != self.net_devices {
            left.push("a network device".to_owned());
        }
        let names = self.bundle_names();
        if !self.bundle_names.is_empty() && names != self.bundle_names {
            left.push(format!("something in the bundle: {names:?}"));
        }
        left
    }

    fn bundle_names(&self) -> Vec<String> {
        let bundles = self.directory.join("bundles");
        let places = ["", "rootfs", "rootfs/dev", "rootfs/etc", "rootfs/tmp", "speaks", "ends", "waits"];
        places
            .iter()
            .flat_map(|place| leftovers::names(&bundles.join(place)))
            .filter(|name| name != "hooks.log")
            .collect()
    }

    fn traced(&self, fault: Option<(&Step, Fault)>) -> Outcome {
        let words = self.task.operation.words(self);
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        let beside = (self.task.operation == Operation::Start).then(|| self.first_pid()).flatten();
        let meanwhile = match fault {
            Some((_, Fault::Meanwhile(other))) => Some(match other {
                Other::State => self.command(&["state", self.id()], "other"),
                Other::Kill => self.command(&["kill", self.id(), "KILL"], "other"),
                Other::DeleteForce => self.command(&["delete", "--force", self.id()], "other"),
            }),
            _ => None,
        };
        trace::run(&self.watchdog, self.on_a_terminal(self.command(&words, "traced")), fault, beside, meanwhile)
    }

    fn first_pid(&self) -> Option<i32> {
        self.first_pid_of(self.id())
    }

    fn first_pid_of(&self, id: &str) -> Option<i32> {
        self.plainly(&["state", id], "state").ok()?;
        let state: serde_json::Value = serde_json::from_str(&self.text("state.out")).ok()?;
        i32::try_from(state["pid"].as_i64()?).ok().filter(|pid| *pid > 0)
    }

    /// Tries everything; prints what the driver reads.
    pub(crate) fn run(mut self) {
        let steps = self.baseline().unwrap_or_else(|error| {
            println!("wrong\twithout any fault\t{error}");
            self.recover();
            Vec::new()
        });
        self.bundle_names = self.bundle_names();
        let trials: Vec<Trial<'_>> = match () {
            () if steps.is_empty() => Vec::new(),
            () if self.task.missing => trial::without_calls(),
            () if self.task.meanwhile => trial::meanwhile(&steps),
            () => trial::faults(&steps),
        };
        let (mut tried, mut unreached) = (0, 0);
        for trial in trials.iter().skip(self.task.first).step_by(self.task.every) {
            match self.try_one(trial) {
                None => unreached += 1,
                Some(complaints) => {
                    tried += 1;
                    if !complaints.is_empty() {
                        let message = self.text("traced.err").trim().replace('\n', " / ");
                        println!("wrong\t{}\t{}; it said: {message}", trial.shown(), complaints.join("; "));
                    }
                }
            }
        }
        // The id can be used after the last of them too.
        let again = self.run_bundle(&["create"], Program::Waits).and(self.must(&["delete", "--force", self.id()]));
        if let Err(error) = again {
            println!("wrong\tafter all\t{error}");
        }
        println!("tried\t{tried}\nunreached\t{unreached}\nsteps\t{}", steps.len());
        nix::sys::prctl::set_child_subreaper(false).unwrap();
        let bystander =
            self.must(&["exec", "bystander", "/bin/true"]).and(self.must(&["delete", "--force", "bystander"]));
        if let Err(error) = bystander {
            println!("wrong\tthe container beside\t{error}");
        }
    }

    /// Without a fault, twice: what the first says is what all others have to say.
    fn baseline(&self) -> Result<Vec<Step>, String> {
        let operation = self.task.operation;
        let mut steps = Vec::new();
        for _ in 0..2 {
            self.forget();
            operation.prepare(self)?;
            let outcome = self.traced(None);
            if outcome.code != Some(0) {
                return Err(format!("exit code {:?}: {}", outcome.code, self.text("traced.err")));
            }
            operation.verify(self, &self.spoken())?;
            self.must(&["delete", "--force", self.id()])?;
            match self.leftovers() {
                left if left.is_empty() => steps = outcome.steps,
                left => return Err(format!("it left {}", left.join(", "))),
            }
        }
        Ok(steps)
    }

    /// Where the container's program writes to.
    pub(crate) fn spoken(&self) -> PathBuf {
        if self.task.kind == Kind::Terminal {
            return self.partners.output();
        }
        self.output(if self.task.operation == Operation::Start { "prepared.out" } else { "traced.out" })
    }

    fn forget(&self) {
        self.partners.forget();
        let _ = std::fs::remove_file(self.directory.join("bundles/hooks.log"));
    }

    /// What is wrong after a fault; none if the step was not reached.
    fn try_one(&self, trial: &Trial<'_>) -> Option<Vec<String>> {
        self.forget();
        if let Err(error) = self.task.operation.prepare(self) {
            self.recover();
            return Some(vec![format!("cannot prepare: {error}")]);
        }
        let outcome = match trial {
            Trial::One(step, fault) => self.traced(Some((step, *fault))),
            Trial::All(calls, errno) => self.without(calls, *errno),
        };
        let mut wrong = Vec::new();
        if outcome.hung {
            wrong.push("it hangs".to_owned());
        }
        let fault = trial.fault();
        let message = self.text("traced.err");
        if outcome.fired && self.task.messages && outcome.code != Some(0) && matches!(fault, Fault::Errno(_)) {
            println!("message\t{}\t{}", trial.shown(), message.trim().replace('\n', " / "));
        }
        let known = match trial {
            Trial::One(step, fault) => explained::is_known(step, *fault, outcome.code, &message),
            Trial::All(calls, _) => explained::is_known_without(calls, self.task.operation, &message),
        };
        wrong.extend(self.judge(fault, &outcome).err().filter(|_| !known));
        if let (Trial::All(calls, errno), Operation::Create, Kind::Plain) = (trial, self.task.operation, self.task.kind)
        {
            let said = |call| missing::is_said_to_work(call, *errno, self.task.unified);
            if calls.len() == 1 && calls.iter().any(|call| said(call) != (outcome.code == Some(0))) {
                wrong.push("docs/KERNEL.md says otherwise".to_owned());
            }
        }
        if self.task.operation.makes() && outcome.code.is_some_and(|code| code != 0) {
            // It has failed by itself: the id can be used at once.
            let again = self.run_bundle(&["create"], Program::Waits);
            wrong.extend(again.err().map(|error| format!("the id cannot be used again: {error}")));
        }
        wrong.extend(self.must(&["delete", "--force", self.id()]).err());
        wrong.extend(self.leftovers());
        wrong.extend(self.bystander.as_ref().and_then(Bystander::changed));
        if !wrong.is_empty() {
            self.recover();
        }
        outcome.fired.then_some(wrong)
    }

    fn without(&self, calls: &[&str], errno: i32) -> Outcome {
        let words = self.task.operation.words(self);
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        let command = missing::without(calls, errno, &self.command(&words, "traced"));
        let code = self.wait_for(self.on_a_terminal(self.with_output(command, "traced")));
        Outcome { fired: true, hung: code.is_err(), code: code.ok().flatten(), ..Outcome::default() }
    }

    /// After something went wrong: the next try begins clean.
    fn recover(&self) {
        let _ = self.must(&["delete", "--force", self.id()]);
        leftovers::kill_children();
        let _ = leftovers::processes();
        let _ = std::fs::remove_dir_all(self.directory.join("state").join(self.id()));
        for cgroup in leftovers::cgroups(&self.cgroup) {
            let _ = std::fs::write(Path::new(&cgroup).join("cgroup.freeze"), "0");
            let _ = std::fs::write(Path::new(&cgroup).join("freezer.state"), "THAWED");
            let _ = std::fs::remove_dir(&cgroup);
        }
        for name in leftovers::names(&self.directory.join("tmp")) {
            let _ = std::fs::remove_file(self.directory.join("tmp").join(name));
        }
    }
}

/// Below the mounts of the cgroup hierarchies.
fn cgroup_of(task: &Task, which: &str) -> String {
    let name = format!("corten-faults-{}{which}", std::process::id());
    if task.systemd { format!("/system.slice/{name}.scope") } else { format!("/{name}") }
}

/// In the words of `linux.cgroupsPath`.
fn configured_cgroup(task: &Task, which: &str) -> String {
    match task.systemd {
        true => format!("system.slice:corten:faults-{}{which}", std::process::id()),
        false => cgroup_of(task, which),
    }
}

/// The other end of the network device.
const PEER: &str = "cfault1";

/// The network devices, but for the container's: that goes and comes.
fn net_devices() -> Vec<String> {
    leftovers::net_devices().into_iter().filter(|name| ![DEVICE, PEER].contains(&name.as_str())).collect()
}

fn command_of(program: &str, words: &[&str]) -> Command {
    let mut command = Command::new(program);
    command.args(words);
    command
}

/// The watchdog had to end it.
struct Hung;
