//! The command line: hands the work out to workers, each a process of its own, and adds up.

use crate::bundle::Kind;
use crate::operation::Operation;
use crate::worker::{Task, Worker};
use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};
use std::collections::{BTreeMap, VecDeque};
use std::path::PathBuf;
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
    worker: bool,
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
            worker: false,
        };
        while let Some(word) = words.next() {
            match word.as_str() {
                "--messages" => options.messages = true,
                "--missing" => options.missing = true,
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
            "--jobs" => self.jobs = number()?.max(1),
            _ => return Err(unknown()),
        }
        Ok(())
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
    };
    Worker::new(task, directory.path().to_owned()).run();
}

#[derive(Default)]
struct Total {
    tried: BTreeMap<String, (usize, usize, usize)>,
    wrong: Vec<String>,
}

fn hand_out(options: &Options) -> ExitCode {
    let mut tasks = VecDeque::new();
    for view in &options.views {
        for kind in &options.kinds {
            for operation in &options.operations {
                for slice in 0..options.jobs {
                    tasks.push_back((view.clone(), *kind, *operation, slice));
                }
            }
        }
    }
    let (tasks, total) = (Mutex::new(tasks), Mutex::new(Total::default()));
    std::thread::scope(|scope| {
        for _ in 0..options.jobs {
            scope.spawn(|| {
                while let Some(task) = locked(&tasks, VecDeque::pop_front) {
                    let name = format!("{:8} {:8} {:14}", task.0, task.1.name(), task.2.name());
                    let output = worker(options, &task);
                    locked(&total, |total| total.add(&name, &output));
                }
            });
        }
    });
    total.into_inner().unwrap_or_else(PoisonError::into_inner).print()
}

fn locked<T, R>(mutex: &Mutex<T>, use_it: impl FnOnce(&mut T) -> R) -> R {
    use_it(&mut mutex.lock().unwrap_or_else(PoisonError::into_inner))
}

fn worker(options: &Options, (view, kind, operation, slice): &(String, Kind, Operation, usize)) -> String {
    let first = options.first + slice * options.every;
    let every = options.every * options.jobs;
    let mut command = Command::new(std::env::current_exe().expect("this program's path"));
    command.arg("--worker").arg("--corten").arg(&options.corten);
    command.args(["--view", view, "--kind", kind.name(), "--operation", operation.name()]);
    command.args(["--first", &first.to_string(), "--every", &every.to_string()]);
    for (given, option) in [(options.messages, "--messages"), (options.missing, "--missing")] {
        if given {
            command.arg(option);
        }
    }
    let output = command.stdin(Stdio::null()).stderr(Stdio::inherit()).output().expect("start a worker");
    let mut text = String::from_utf8_lossy(&output.stdout).into_owned();
    if !output.status.success() {
        text.push_str(&format!("wrong\tthe worker itself\t{}\n", output.status));
    }
    text
}

impl Total {
    fn add(&mut self, name: &str, output: &str) {
        let counts = self.tried.entry(name.to_owned()).or_default();
        for line in output.lines() {
            let (word, rest) = line.split_once('\t').unwrap_or((line, ""));
            let number = rest.parse().unwrap_or(0);
            match word {
                "tried" => counts.0 += number,
                "unreached" => counts.1 += number,
                "steps" => counts.2 = number,
                _ => {
                    let line = format!("{name} {}", line.replace('\t', ": "));
                    println!("{line}");
                    if word == "wrong" {
                        self.wrong.push(line);
                    }
                }
            }
        }
    }

    fn print(&self) -> ExitCode {
        println!("view     container operation      steps  tried  not reached");
        let (mut tried, mut unreached) = (0, 0);
        for (name, counts) in &self.tried {
            println!("{name} {:7} {:6} {:6}", counts.2, counts.0, counts.1);
            tried += counts.0;
            unreached += counts.1;
        }
        println!(
            "{tried} combinations of operation, step and fault tried, {unreached} not reached, {} wrong",
            self.wrong.len()
        );
        if self.wrong.is_empty() && tried > 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
    }
}
