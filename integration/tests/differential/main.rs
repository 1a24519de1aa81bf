//! Random configurations, given to corten and to runc: both accept one or both refuse it, and a container that both start
//! looks the same from inside.
//!
//! `SEED` and `CASES` choose what is tried: case n of a run is case 0 of the run with the seed `SEED + n`. Whatever differs is
//! made as small as it can be and printed with its seed. What is known to differ stands in `known.rs` with the reason.
//!
//! A run that is interrupted takes its containers and cgroups away.
//!
//! Runs when `RUNTIME` is corten and Debian's runc is installed.

mod known;
mod sections;

use corten_integration::{
    Bundle, ConsoleSocket, Container, Guard, HostView, Inside, Output, Running, Runtime, Sandbox, skip,
};
use proptest::strategy::{Strategy, ValueTree};
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
use sections::Edit;
use serde_json::Value;
use std::os::unix::fs::chown;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// How many configurations are tried when nobody says, and how long that may take on a slow machine.
const CASES: u64 = 120;
const TIME: Duration = Duration::from_secs(40);
/// After so many that differ the rest will hardly tell anything new.
const MOST_FAULTS: usize = 40;
/// How often a configuration that differs is made smaller.
const MOST_STEPS: usize = 30;

/// What a runtime made of a configuration.
#[derive(Debug)]
enum Outcome {
    Refused {
        code: i32,
        message: String,
    },
    Ran {
        code: i32,
        inside: Box<Inside>,
        config: String,
    },
    /// Of runc alone, which now and then stops to read what the program writes (see `known::is_known_refusal`): there is nothing to
    /// compare.
    Hung,
}

/// One runtime on one view, and what configurations name there.
struct Side {
    sandbox: Sandbox,
    probe: PathBuf,
    directory: PathBuf,
    holder: String,
    /// Dropped after the sandbox. A run that is interrupted leaves nothing.
    _guard: Guard,
}

impl Side {
    fn new(view: HostView, runtime: Runtime) -> Side {
        let sandbox = Sandbox::of(view, runtime);
        // A mount namespace of its own: what a runtime does to the mounts of its caller does not reach the machine.
        sandbox.host_shell("mount --make-rprivate /");
        let guard = sandbox.guard();
        let probe = sandbox.new_path("probe");
        std::fs::copy(env!("CARGO_BIN_EXE_probe"), &probe).unwrap();
        let directory = sandbox.new_path("directory");
        let holder = sandbox.container(sandbox.bundle().namespace("cgroup", "").args(&["sleep", "100000"]));
        holder.run_detached();
        let holder = holder.pid().to_string();
        Side { sandbox, probe, directory, holder, _guard: guard }
    }

    fn bundle(&self, edits: &[Edit]) -> Bundle {
        let bundle = self.sandbox.bare_bundle().file("/file", "file", 0o644).file("/data/file", "data", 0o600);
        let bundle = bundle.link("/link", "/tmp").link("/loop", "loop");
        let bundle = edits.iter().fold(bundle.probe(&self.probe, &[]), apply);
        let mut bundle = questions(bundle);
        let text = bundle.config.to_string();
        let text = text.replace("@CGROUP", &self.sandbox.unique_name());
        let text = text.replace("@DIR", self.directory.to_str().unwrap()).replace("@HOLDER", &self.holder);
        bundle.config = serde_json::from_str(&text).unwrap();
        bundle
    }

    /// The end of `run`, and what the program has written: to standard output, or to its terminal. Nothing when runc does not end.
    fn run(&self, container: &Container<'_>) -> Option<(Output, String)> {
        let run = container.command("run");
        if container.bundle().config["process"]["terminal"] != true {
            let output = self.end(run.spawn())?;
            let told = output.stdout();
            return Some((output, told));
        }
        let socket = ConsoleSocket::new(self.sandbox.new_path("console"));
        let output = self.end(run.option("--detach").option("--console-socket").option(socket.path()).spawn())?;
        if output.code() != 0 {
            return Some((output, String::new()));
        }
        let told = socket.receive().read_to_end();
        container.wait_for("stopped");
        container.delete();
        Some((output, told))
    }

    /// It is corten that must never hang.
    fn end(&self, running: Running) -> Option<Output> {
        match self.sandbox.runtime() {
            Runtime::Runc => running.wait_or_kill(),
            _ => Some(running.wait()),
        }
    }

    fn outcome(&self, edits: &[Edit]) -> Outcome {
        prepare(&self.directory);
        let container = self.sandbox.container(self.bundle(edits));
        let ended = self.run(&container);
        let told = ended.as_ref().map(|(_, told)| told.replace(self.directory.to_str().unwrap(), "DIR"));
        let inside = told.and_then(|told| Inside::read(&told, &container));
        if ended.is_none() {
            container.command("delete").option("--force").ok();
        }
        let left = self.sandbox.state_root().join(container.id()).exists();
        assert!(!left, "{} left its state behind: {edits:?}", self.sandbox.runtime().name());
        std::fs::remove_dir_all(container.bundle().path()).unwrap();
        std::fs::remove_dir_all(&self.directory).unwrap();
        let Some((output, _)) = ended else {
            println!("runc did not end: {edits:?}");
            return Outcome::Hung;
        };
        let code = output.code();
        match inside {
            Some(inside) => {
                let masked = container.bundle().config["linux"]["maskedPaths"].as_array().cloned().unwrap_or_default();
                // What a link of the image leads to is what is hidden.
                let place =
                    |path: &Value| path.as_str().map(|path| if path == "/link" { "/tmp" } else { path }.to_owned());
                let masked: Vec<String> = masked.iter().filter_map(place).collect();
                let config = container.bundle().config.to_string();
                Outcome::Ran { code, inside: Box::new(inside.with_masks_alike(&masked)), config }
            }
            None => Outcome::Refused { code, message: output.stderr() },
        }
    }
}

/// What `@DIR` holds.
fn prepare(directory: &Path) {
    std::fs::create_dir_all(directory.join("tree/below")).unwrap();
    std::fs::write(directory.join("file"), "a file of the host").unwrap();
    std::fs::write(directory.join("tree/below/file"), "another").unwrap();
}

fn apply(bundle: Bundle, edit: &Edit) -> Bundle {
    match edit {
        Edit::Set(pointer, value) => bundle.set(pointer, value.clone()),
        Edit::Add(pointer, value) => bundle.add(pointer, value.clone()),
        Edit::Namespace(kind, None) => bundle.without_namespace(kind),
        Edit::Namespace(kind, Some(path)) => bundle.namespace(kind, path),
        Edit::Terminal(size) => {
            let bundle = bundle.set("/process/terminal", true);
            size.iter().fold(bundle, |bundle, size| bundle.set("/process/consoleSize", size.clone()))
        }
        Edit::UserNamespace(users, groups) => {
            // Its root, so that mount points can be made.
            let owner = |map: &Value| map[0]["hostID"].as_u64().map(|id| u32::try_from(id).unwrap());
            for place in ["/", "/bin", "/etc", "/tmp", "/root", "/data"] {
                chown(bundle.rootfs(place), owner(users), owner(groups)).unwrap();
            }
            bundle
                .namespace("user", "")
                .set("/linux/uidMappings", users.clone())
                .set("/linux/gidMappings", groups.clone())
        }
    }
}

/// Lets the probe look at the places that the configuration is about.
fn questions(mut bundle: Bundle) -> Bundle {
    let config = &bundle.config;
    let texts = |pointer: &str, member: &str| -> Vec<String> {
        let items = config.pointer(pointer).and_then(Value::as_array).into_iter().flatten();
        let text = |item: &Value| item.as_str().or(item[member].as_str()).map(str::to_owned);
        items.filter_map(text).collect()
    };
    let paths = [
        texts("/linux/maskedPaths", ""),
        texts("/linux/readonlyPaths", ""),
        texts("/linux/devices", "path"),
        texts("/mounts", "destination"),
    ];
    let mut words: Vec<String> = paths.into_iter().flatten().map(|path| format!("path={path}")).collect();
    let sysctls = config["linux"]["sysctl"].as_object().into_iter().flatten();
    words.extend(sysctls.map(|(name, _)| format!("file=/proc/sys/{}", name.replace('.', "/"))));
    words.extend(LIMITS.iter().map(|file| format!("file=/sys/fs/cgroup/{file}")));
    words.into_iter().for_each(|word| bundle = bundle.clone().add("/process/args", word));
    bundle
}

/// Files of the container's own cgroup, as it sees them.
const LIMITS: [&str; 14] = [
    "memory/memory.limit_in_bytes",
    "memory/memory.soft_limit_in_bytes",
    "memory/memory.memsw.limit_in_bytes",
    "memory/memory.swappiness",
    "memory/memory.oom_control",
    "cpu/cpu.shares",
    "cpu/cpu.cfs_quota_us",
    "cpu/cpu.cfs_period_us",
    "cpuset/cpuset.cpus",
    "pids/pids.max",
    "devices/devices.list",
    "blkio/blkio.bfq.weight",
    "hugetlb.2MB.max",
    "cgroup.freeze",
];

/// What differs and is not known to, in words.
fn compare([ours, runcs]: &[Outcome; 2]) -> Vec<String> {
    match (ours, runcs) {
        (Outcome::Ran { code, inside, config }, Outcome::Ran { code: runc_code, inside: runc_inside, .. }) => {
            let mut faults: Vec<String> = inside
                .disagreements(runc_inside)
                .iter()
                .filter(|disagreement| !known::is_known(disagreement, config))
                .map(ToString::to_string)
                .collect();
            if code != runc_code {
                faults.push(format!("exit code: {code} | {runc_code}"));
            }
            faults
        }
        (Outcome::Refused { .. }, Outcome::Refused { .. }) | (_, Outcome::Hung) => Vec::new(),
        (Outcome::Refused { message, code }, _) if !known::is_known_refusal("corten", *code, message) => {
            vec![format!("corten refuses with {code}: {}", message.trim())]
        }
        (_, Outcome::Refused { message, code }) if !known::is_known_refusal("runc", *code, message) => {
            vec![format!("runc refuses with {code}: {}", message.trim())]
        }
        _ => Vec::new(),
    }
}

fn outcomes(sides: &[Side; 2], edits: &[Edit]) -> [Outcome; 2] {
    sides.each_ref().map(|side| side.outcome(edits))
}

/// The configuration of a seed, and, when the two differ in it, the smallest found that they still differ in.
fn try_seed(sides: &[Side; 2], seed: u64, count: &mut Counts) -> Option<String> {
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&seed.to_le_bytes());
    let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &bytes);
    let mut tree = sections::edits().new_tree(&mut TestRunner::new_with_rng(Config::default(), rng)).unwrap();
    let first = outcomes(sides, &tree.current());
    count.add(&first);
    let mut faults = compare(&first);
    if faults.is_empty() {
        return None;
    }
    let mut smallest = tree.current();
    let mut steps = 0;
    let mut goes_on = tree.simplify();
    while goes_on && steps < MOST_STEPS {
        let edits = tree.current();
        let now = compare(&outcomes(sides, &edits));
        steps += 1;
        goes_on = if now.is_empty() {
            tree.complicate()
        } else {
            (smallest, faults) = (edits, now);
            tree.simplify()
        };
    }
    Some(format!("SEED={seed} CASES=1: {smallest:?}\n    {}", faults.join("\n    ")))
}

#[derive(Debug, Default)]
struct Counts {
    started: u64,
    refused: u64,
    known: u64,
}

impl Counts {
    fn add(&mut self, outcomes: &[Outcome; 2]) {
        match outcomes {
            [Outcome::Ran { .. }, Outcome::Ran { .. }] => self.started += 1,
            [Outcome::Refused { .. }, Outcome::Refused { .. }] => self.refused += 1,
            _ => self.known += 1,
        }
    }
}

fn number(variable: &str) -> Option<u64> {
    let text = std::env::var(variable).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{variable}={text} is not a number")))
}

#[test]
fn random_configurations() {
    let found = std::env::split_paths(&std::env::var_os("PATH").unwrap()).any(|dir| dir.join("runc").is_file());
    if Runtime::from_environment() != Runtime::Corten || !found {
        skip!("compares corten with runc");
    }
    let seed = number("SEED").unwrap_or(20_261_130);
    let wanted = number("CASES");
    let began = Instant::now();
    let mut all = Vec::new();
    for view in HostView::available() {
        let sides = [Runtime::Corten, Runtime::Runc].map(|runtime| Side::new(view, runtime));
        let views = HostView::available().len() as u32;
        let share = wanted.unwrap_or(CASES).div_ceil(u64::from(views));
        let began = Instant::now();
        let (mut count, mut faults, mut tried) = (Counts::default(), Vec::new(), 0);
        for case in 0..share {
            let over = wanted.is_none() && began.elapsed() > TIME / views;
            if faults.len() >= MOST_FAULTS || over {
                break;
            }
            let fault = try_seed(&sides, seed.wrapping_add(case), &mut count);
            faults.extend(fault.inspect(|fault| println!("{view:?}: {fault}")));
            tried += 1;
        }
        // runc leaves a cgroup now and then, and is not what is tested.
        sides[1].sandbox.forgive();
        println!("{view:?}: SEED={seed}: {tried} configurations, {count:?}, {} differ", faults.len());
        all.extend(faults.into_iter().map(|fault| format!("{view:?}: {fault}")));
    }
    println!("{:?}", began.elapsed());
    assert!(all.is_empty(), "{} configurations differ:\n{}", all.len(), all.join("\n"));
}
