//! `soak [--minutes N] [--runs N] [--beside N] [--seed N] [--only NAME]…`: whether a runtime stands a long day.
//!
//! For corten, runc and crun in one run, on what looks like a pure v1 host, where all three work: N runs of `/bin/true` one
//! after the other (10,000 unless said), a tenth of that 32 at once, and N commands of a random mix of 10 threads on 100
//! containers, whose seed makes it again; of runc and crun `--beside` of each, if given. Prints latencies side by side, and
//! everything that is wrong: a command that does not end, a failure that the mix does not explain, a container, cgroup, process,
//! mount or file that is left. With `--minutes` the rounds go on with the next seed until the time is over. The exit code is 0
//! if corten did nothing wrong; what the others do is printed. Needs root.

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a program's output to its user")]

use corten_benches::mix::{Mix, Outcome};
use corten_benches::process::{checked, timed};
use corten_benches::program::Program;
use corten_benches::view::View;
use corten_benches::{Result, bundle, lifecycle};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

/// How many at once.
const AT_ONCE: usize = 32;
/// The containers of the mix.
const CONTAINERS: usize = 100;
/// And how many work on them.
const THREADS: usize = 10;

struct Options {
    minutes: u64,
    runs: usize,
    /// Of the runtimes beside corten: they are slower, and it is not them that are tried.
    beside: Option<usize>,
    seed: u64,
    only: Vec<String>,
}

fn main() -> ExitCode {
    match options(std::env::args().skip(1)).and_then(|options| soak(&options)) {
        Ok(0) => ExitCode::SUCCESS,
        Ok(faults) => {
            eprintln!("soak: corten: {faults} faults");
            ExitCode::FAILURE
        }
        Err(message) => {
            eprintln!("soak: {message}");
            ExitCode::FAILURE
        }
    }
}

fn options(mut arguments: impl Iterator<Item = String>) -> Result<Options> {
    let usage = "usage: soak [--minutes N] [--runs N] [--beside N] [--seed N] [--only NAME]…";
    let mut options = Options { minutes: 0, runs: 10_000, beside: None, seed: 1, only: Vec::new() };
    while let Some(argument) = arguments.next() {
        let value = arguments.next().ok_or(usage)?;
        let number = || value.parse::<u64>().map_err(|_| format!("{argument} takes a number; {usage}"));
        let count = || usize::try_from(number()?).map_err(|error| error.to_string());
        match argument.as_str() {
            "--minutes" => options.minutes = number()?,
            "--runs" => options.runs = count()?,
            "--beside" => options.beside = Some(count()?),
            "--seed" => options.seed = number()?,
            "--only" => options.only.push(value),
            _ => return Err(format!("unknown argument {argument}; {usage}")),
        }
    }
    Ok(options)
}

fn soak(options: &Options) -> Result<usize> {
    if !nix::unistd::geteuid().is_root() {
        return Err("needs root".to_owned());
    }
    let this = std::env::current_exe().map_err(|error| error.to_string())?;
    let corten = this.with_file_name("corten");
    if !corten.is_file() {
        return Err(format!("{} is not there: cargo build --release", corten.display()));
    }
    let temporary = tempfile::Builder::new().prefix("corten-soak.").tempdir().map_err(|error| error.to_string())?;
    View::Legacy.within(temporary.path(), || rounds(options, &corten, temporary.path()))
}

fn rounds(options: &Options, corten: &Path, directory: &Path) -> Result<usize> {
    let bundles = bundle::prepare(directory, View::Legacy)?;
    let waiting = bundle::waiting(directory, &bundles)?;
    let all = [("corten", corten.to_owned()), ("runc", PathBuf::from("runc")), ("crun", PathBuf::from("crun"))];
    let wanted = |name: &str| options.only.is_empty() || options.only.iter().any(|only| only == name);
    let programs = all.into_iter().filter(|(name, _)| wanted(name));
    let programs: Vec<Program> =
        programs.map(|(name, path)| Program::runtime(name, path, &bundles, directory)).collect();
    let end = Instant::now() + Duration::from_secs(options.minutes * 60);
    let (mut seed, mut faults) = (options.seed, 0);
    loop {
        println!("seed {seed}");
        for program in &programs {
            if let Err(message) = checked(program.run(&lifecycle::fresh_id())) {
                println!("{:<8}left out: {message}", program.name);
                faults += usize::from(program.name == "corten");
                continue;
            }
            let beside = options.beside.filter(|_| program.name != "corten");
            let wrong = round(program, beside.unwrap_or(options.runs), &waiting, seed);
            faults += if program.name == "corten" { wrong } else { 0 };
        }
        seed += 1;
        if Instant::now() >= end {
            return Ok(faults);
        }
    }
}

/// One round of one runtime; gives the number of faults.
fn round(program: &Program, runs: usize, waiting: &Path, seed: u64) -> usize {
    // With the runtime's name, or what one leaves behind would be the next one's.
    let prefix = format!("corten-soak-{}-{}-{seed}", std::process::id(), program.name);
    let sequential = many(program, runs, 1);
    report(program.name, "one by one", &sequential);
    let parallel = many(program, runs.div_ceil(10), AT_ONCE);
    report(program.name, "32 at once", &parallel);
    let commands = runs.div_ceil(THREADS);
    let mix = Mix { program, bundle: waiting, prefix: &prefix, containers: CONTAINERS, threads: THREADS, commands };
    let mixed = mix.run(seed);
    report(program.name, "mix", &mixed);
    let left = left_behind(program, &prefix, waiting);
    left.iter().take(5).for_each(|line| println!("{:<8}left behind: {line}", program.name));
    if !left.is_empty() {
        println!("{:<8}left behind: {} in all", program.name, left.len());
        take_away(&prefix);
    }
    sequential.faults.len() + parallel.faults.len() + mixed.faults.len() + left.len()
}

fn many(program: &Program, runs: usize, threads: usize) -> Outcome {
    let (next, outcome) = (AtomicUsize::new(0), Mutex::new(Outcome::default()));
    let work = || {
        while next.fetch_add(1, Ordering::Relaxed) < runs {
            let id = lifecycle::fresh_id();
            let ended = timed(program.run(&id));
            let mut outcome = outcome.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
            match ended {
                Ok(took) => outcome.times.push(took.as_secs_f64() * 1e3),
                Err(message) => {
                    outcome.faults.push(message);
                    lifecycle::discard(program, &id);
                }
            }
        }
    };
    std::thread::scope(|scope| (0..threads).for_each(|_| drop(scope.spawn(work))));
    outcome.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner)
}

fn report(name: &str, what: &str, outcome: &Outcome) {
    let mut times = outcome.times.clone();
    times.sort_by(f64::total_cmp);
    let rank = |share: usize| {
        times.get((times.len() * share / 100).min(times.len().saturating_sub(1))).copied().unwrap_or(0.0)
    };
    println!(
        "{name:<8}{what:<12}{:>6} well, {:>4} met, {:>3} wrong   p50 {:>7.2} ms  p99 {:>7.2} ms  max {:>8.2} ms",
        times.len(),
        outcome.met,
        outcome.faults.len(),
        rank(50),
        rank(99),
        rank(100)
    );
    outcome.faults.iter().take(20).for_each(|fault| println!("        {fault}"));
}

/// Ends the processes of the mix that a runtime has left behind, and removes their cgroups: the machine is not to keep them.
fn take_away(prefix: &str) {
    for line in processes_of(&[prefix]) {
        let pid = line.split(':').next().and_then(|pid| pid.parse().ok()).map(nix::unistd::Pid::from_raw);
        let _ = pid.map(|pid| nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGKILL));
    }
    for _ in 0..50 {
        let mut find = Command::new("find");
        find.args(["/sys/fs/cgroup", "-depth", "-type", "d", "-path", &format!("*/{prefix}*"), "-delete"]);
        if checked(find).is_ok() {
            return;
        }
        std::thread::sleep(Duration::from_millis(100));
    }
}

/// Containers that the runtime still knows; cgroups and processes with our names; mounts and files below our directories.
fn left_behind(program: &Program, prefix: &str, bundle: &Path) -> Vec<String> {
    let known = checked(program.verb("list", &["--quiet".as_ref()])).unwrap_or_default();
    let mut left: Vec<String> = known.lines().map(|id| format!("container {id}")).collect();
    let ours = format!("corten-bench-{}-", std::process::id());
    let mut find = Command::new("find");
    // The view has a tmpfs at `unified`, in which crun makes directories.
    find.args(["/sys/fs/cgroup", "-type", "d", "-not", "-path", "/sys/fs/cgroup/unified/*", "("]);
    find.args(["-name", &format!("{prefix}*"), "-o", "-name", &format!("{ours}*"), ")"]);
    // Cgroups go while find walks: what it could not enter is gone.
    let found = find.output().map(|output| String::from_utf8_lossy(&output.stdout).into_owned()).unwrap_or_default();
    left.extend(found.lines().map(|path| format!("cgroup {path}")));
    left.extend(processes_of(&[prefix, &ours]).into_iter().map(|line| format!("process {line}")));
    let below = bundle.parent().unwrap_or(bundle).to_string_lossy().into_owned();
    // The view itself has its own: the memory that the state directories are in.
    let view = format!(" {below}/run ");
    let mounts = std::fs::read_to_string("/proc/thread-self/mountinfo").unwrap_or_default();
    let mounted = mounts.lines().filter(|line| line.contains(&below) && !line.contains(&view));
    left.extend(mounted.map(|line| format!("mount {line}")));
    let state = std::fs::read_dir(program.state_directory()).into_iter().flatten().flatten();
    left.extend(state.map(|entry| format!("file {}", entry.path().display())));
    left
}

/// Processes in whose arguments or cgroup one of our names is. One that is just ending is given the time for it.
fn processes_of(names: &[&str]) -> Vec<String> {
    let ours = |pid: &str| {
        let read = |file: &str| std::fs::read(format!("/proc/{pid}/{file}")).unwrap_or_default();
        let text = String::from_utf8_lossy(&[read("cmdline"), read("cgroup")].concat()).replace('\0', " ");
        names
            .iter()
            .any(|name| text.contains(name))
            .then(|| format!("{pid}: {}", text.lines().next().unwrap_or_default()))
    };
    let look = || -> Vec<String> {
        let all = std::fs::read_dir("/proc").into_iter().flatten().flatten();
        let pids = all.filter_map(|entry| entry.file_name().into_string().ok());
        pids.filter(|pid| pid.parse::<u32>().is_ok()).filter_map(|pid| ours(&pid)).collect()
    };
    let end = Instant::now() + Duration::from_secs(10);
    let mut found = look();
    while !found.is_empty() && Instant::now() < end {
        std::thread::sleep(Duration::from_millis(100));
        found = look();
    }
    found
}
