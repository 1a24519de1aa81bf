//! The command line: hands the work out to workers, each a process of its own, and adds up.

use crate::bundle::Kind;
use crate::operation::Operation;
use crate::worker::{Task, Worker};
use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};
use std::collections::{BTreeMap, VecDeque};
use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::sync::{Mutex, PoisonError};

/// What is asked for on the command line.
#[derive(Clone)]
struct Options {
    corten: PathBuf,
    views: Vec<String>,
    kinds: Vec<Kind>,
    operations: Vec<Operation>,
    every: usize,
    first: usize,
    jobs: usize,
    messages: bool,
    missing: bool,
    meanwhile: bool,
    systemd: bool,
    worker: bool,
    /// In how many parts each operation is tried; as many as jobs if it is not said.
    parts: Option<usize>,
    log: Option<PathBuf>,
}

impl Options {
    fn parse(mut words: impl Iterator<Item = String>) -> Result<Options, String> {
        let beside = std::env::current_exe().map_err(|error| error.to_string())?.with_file_name("corten");
        let jobs = std::thread::available_parallelism().map_or(1, usize::from);
        let mut options = Options {
            corten: beside,
            views: Vec::new(),
            kinds: Vec::new(),
            operations: Vec::new(),
            every: 1,
            first: 0,
            jobs,
            messages: false,
            missing: false,
            meanwhile: false,
            systemd: false,
            worker: false,
            parts: None,
            log: None,
        };
        while let Some(word) = words.next() {
            match word.as_str() {
                "--messages" => options.messages = true,
                "--missing" => options.missing = true,
                "--meanwhile" => options.meanwhile = true,
                "--systemd" => options.systemd = true,
                "--worker" => options.worker = true,
                _ => {
                    let value = words.next().ok_or_else(|| format!("{word} needs a value"))?;
                    options.set(&word, &value)?;
                }
            }
        }
        if options.views.is_empty() {
            let unified = std::path::Path::new("/sys/fs/cgroup/cgroup.controllers").exists();
            options.views = if unified { vec!["native".into()] } else { vec!["native".into(), "v2".into()] };
        }
        if options.kinds.is_empty() {
            options.kinds = Kind::ALL.to_vec();
        }
        if options.operations.is_empty() {
            options.operations = Operation::ALL.to_vec();
        }
        Ok(options)
    }

    fn set(&mut self, option: &str, value: &str) -> Result<(), String> {
        let unknown = || format!("{option}: {value} is not known");
        let number = || value.parse::<usize>().map_err(|error| format!("{option}: {error}"));
        match option {
            "--corten" => self.corten = value.into(),
            "--view" if ["native", "v2"].contains(&value) => self.views.push(value.to_owned()),
            "--kind" => self.kinds.push(Kind::ALL.into_iter().find(|kind| kind.name() == value).ok_or_else(unknown)?),
            "--operation" => {
                let found = Operation::ALL.into_iter().find(|operation| operation.name() == value);
                self.operations.push(found.ok_or_else(unknown)?);
            }
            "--every" => self.every = number()?.max(1),
            "--first" => self.first = number()?,
            "--parts" => self.parts = Some(number()?.max(1)),
            "--log" => self.log = Some(value.into()),
            "--jobs" => self.jobs = number()?.max(1),
            _ => return Err(unknown()),
        }
        Ok(())
    }
}

impl Options {
    /// What the log calls the part.
    fn key(&self, part: &Part) -> String {
        let modes = [(self.missing, " missing"), (self.meanwhile, " meanwhile"), (self.systemd, " systemd")];
        let modes: String = modes.iter().filter(|(given, _)| *given).map(|(_, name)| *name).collect();
        let (parts, every, first) = (self.parts.unwrap_or(self.jobs), self.every, self.first);
        let Part { view, kind, operation, number } = part;
        format!("{view} {} {} {number}/{parts} every {every} first {first}{modes}", kind.name(), operation.name())
    }
}

/// Runs what the command line says.
pub(crate) fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    if let Some(("--without", rest)) = words.split_first().map(|(word, rest)| (word.as_str(), rest)) {
        eprintln!("faults: {}", crate::missing::become_program(rest));
        return ExitCode::FAILURE;
    }
    let options = match Options::parse(words.into_iter()) {
        Ok(options) => options,
        Err(message) => {
            eprintln!("faults: {message}");
            return ExitCode::FAILURE;
        }
    };
    if options.worker {
        work(options);
        return ExitCode::SUCCESS;
    }
    hand_out(&options)
}

/// A worker has mounts of its own, so that a view is nobody else's, and what is left is seen.
fn work(options: Options) {
    unshare(CloneFlags::CLONE_NEWNS).expect("a mount namespace: run as root");
    let none = None::<&str>;
    mount(none, "/", none, MsFlags::MS_REC | MsFlags::MS_PRIVATE, none).expect("make the mounts private");
    let view = options.views.first().map_or("native", String::as_str);
    if view == "v2" {
        let script = "umount -R /sys/fs/cgroup && mount -t cgroup2 none /sys/fs/cgroup";
        assert!(Command::new("sh").args(["-c", script]).status().expect("sh").success(), "cannot prepare the view");
    }
    // Nor are the network devices anybody else's.
    unshare(CloneFlags::CLONE_NEWNET).expect("a network namespace");
    let directory = tempfile::Builder::new().prefix("corten-faults-").tempdir().expect("a temporary directory");
    let task = Task {
        corten: options.corten,
        unified: std::path::Path::new("/sys/fs/cgroup/cgroup.controllers").exists(),
        kind: options.kinds[0],
        operation: options.operations[0],
        every: options.every,
        first: options.first,
        messages: options.messages,
        missing: options.missing,
        meanwhile: options.meanwhile,
        systemd: options.systemd,
    };
    Worker::new(task, directory.path().to_owned()).run();
}

/// A part of the work: of all faults of an operation on a kind of container in a view, one of so many.
struct Part {
    view: String,
    kind: Kind,
    operation: Operation,
    number: usize,
}

impl Part {
    fn name(&self) -> String {
        format!("{:8} {:8} {:14}", self.view, self.kind.name(), self.operation.name())
    }
}

/// All parts, the first of each operation first: what is common to them is found early.
fn parts(options: &Options) -> VecDeque<Part> {
    let mut parts = VecDeque::new();
    for number in 0..options.parts.unwrap_or(options.jobs) {
        for view in &options.views {
            for kind in &options.kinds {
                for operation in options.operations.iter().filter(|operation| kind.concerns(**operation)) {
                    parts.push_back(Part { view: view.clone(), kind: *kind, operation: *operation, number });
                }
            }
        }
    }
    parts
}

fn hand_out(options: &Options) -> ExitCode {
    let log = match options.log.as_deref().map(Log::open).transpose() {
        Ok(log) => log,
        Err(error) => {
            eprintln!("faults: --log: {error}");
            return ExitCode::FAILURE;
        }
    };
    let (parts, total) = (Mutex::new(parts(options)), Mutex::new(Total { log, ..Total::default() }));
    std::thread::scope(|scope| {
        for _ in 0..options.jobs {
            scope.spawn(|| {
                while let Some(part) = locked(&parts, VecDeque::pop_front) {
                    let key = options.key(&part);
                    if !locked(&total, |total| total.remember(&part.name(), &key)) {
                        worker(options, &part, &key, &total);
                    }
                }
            });
        }
    });
    total.into_inner().unwrap_or_else(PoisonError::into_inner).print()
}

fn locked<T, R>(mutex: &Mutex<T>, use_it: impl FnOnce(&mut T) -> R) -> R {
    use_it(&mut mutex.lock().unwrap_or_else(PoisonError::into_inner))
}

fn worker(options: &Options, part: &Part, key: &str, total: &Mutex<Total>) {
    let count = options.parts.unwrap_or(options.jobs);
    let first = options.first + part.number * options.every;
    let every = options.every * count;
    // Not its path: it may be built again meanwhile.
    let mut command = Command::new("/proc/self/exe");
    command.arg("--worker").arg("--corten").arg(&options.corten);
    command.args(["--view", &part.view, "--kind", part.kind.name(), "--operation", part.operation.name()]);
    command.args(["--first", &first.to_string(), "--every", &every.to_string()]);
    let flags = [
        (options.messages, "--messages"),
        (options.missing, "--missing"),
        (options.meanwhile, "--meanwhile"),
        (options.systemd, "--systemd"),
    ];
    for (given, option) in flags {
        if given {
            command.arg(option);
        }
    }
    let mut child =
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::inherit()).spawn().expect("start a worker");
    let name = part.name();
    let mut found = Counts::default();
    for line in BufReader::new(child.stdout.take().expect("a pipe")).lines().map_while(Result::ok) {
        locked(total, |total| total.hear(&name, &mut found, &line));
    }
    let status = child.wait().expect("the worker's end");
    locked(total, |total| {
        if !status.success() {
            total.hear(&name, &mut found, &format!("wrong\tthe worker itself\t{status}"));
        }
        total.done(&name, key, &found);
    });
}

/// What came of a part, or of several.
#[derive(Clone, Copy, Default)]
struct Counts {
    tried: usize,
    unreached: usize,
    steps: usize,
    wrong: usize,
}

impl Counts {
    fn add(&mut self, other: &Counts) {
        self.tried += other.tried;
        self.unreached += other.unreached;
        self.steps = other.steps;
        self.wrong += other.wrong;
    }
}

#[derive(Default)]
struct Total {
    counts: BTreeMap<String, Counts>,
    log: Option<Log>,
}

impl Total {
    /// Whether the log has the part already; then what it says counts.
    fn remember(&mut self, name: &str, key: &str) -> bool {
        let Some(counts) = self.log.as_ref().and_then(|log| log.done.get(key)).copied() else { return false };
        self.counts.entry(name.to_owned()).or_default().add(&counts);
        true
    }

    /// A line of a worker's.
    fn hear(&mut self, name: &str, found: &mut Counts, line: &str) {
        let (word, rest) = line.split_once('\t').unwrap_or((line, ""));
        let number = rest.parse().unwrap_or(0);
        match word {
            "tried" => found.tried = number,
            "unreached" => found.unreached = number,
            "steps" => found.steps = number,
            _ => {
                found.wrong += usize::from(word == "wrong");
                let line = format!("{name} {}", line.replace('\t', ": "));
                println!("{line}");
                self.write(&line);
            }
        }
    }

    fn done(&mut self, name: &str, key: &str, found: &Counts) {
        self.counts.entry(name.to_owned()).or_default().add(found);
        let Counts { tried, unreached, steps, wrong } = found;
        self.write(&format!("done\t{key}\t{tried}\t{unreached}\t{steps}\t{wrong}"));
    }

    fn write(&mut self, line: &str) {
        if let Some(log) = &mut self.log {
            writeln!(log.file, "{line}").expect("write the log");
        }
    }

    fn print(&self) -> ExitCode {
        println!("view     container operation      steps  tried  not reached");
        let mut all = Counts::default();
        for (name, counts) in &self.counts {
            println!("{name} {:7} {:6} {:6}", counts.steps, counts.tried, counts.unreached);
            all.add(counts);
        }
        let Counts { tried, unreached, wrong, .. } = all;
        println!("{tried} combinations of operation, step and fault tried, {unreached} not reached, {wrong} wrong");
        if wrong == 0 && tried > 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
    }
}

/// Which parts are done: a run that is interrupted goes on where it was. It is for one build of corten.
struct Log {
    file: File,
    done: BTreeMap<String, Counts>,
}

impl Log {
    /// Reads what is there. A part in which something was wrong is to be tried again.
    fn open(path: &Path) -> std::io::Result<Log> {
        let text = std::fs::read_to_string(path).or_else(|error| match error.kind() {
            std::io::ErrorKind::NotFound => Ok(String::new()),
            _ => Err(error),
        })?;
        let mut done = BTreeMap::new();
        for line in text.lines().filter_map(|line| line.strip_prefix("done\t")) {
            let mut words = line.split('\t');
            let key = words.next().unwrap_or_default().to_owned();
            let numbers: Vec<usize> = words.filter_map(|word| word.parse().ok()).collect();
            if let [tried, unreached, steps, 0] = numbers[..] {
                done.insert(key, Counts { tried, unreached, steps, wrong: 0 });
            }
        }
        Ok(Log { file: File::options().create(true).append(true).open(path)?, done })
    }
}
