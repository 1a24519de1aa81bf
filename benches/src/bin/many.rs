//! `many [COUNT] [--assert]`: what `list`, `state` and `ps` take beside many containers (1,000), corten and runc.
//!
//! All containers are real, and wait between `create` and `start`. Each command is measured at half of them and at all: what
//! grows linearly at most doubles for `list` and stays for the others. Needs root and a release build of corten.
//! The exit code is 0 unless `--assert` is given and corten is slower than runc, or grows faster.

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a program's output to its user")]

use corten_benches::Result;
use corten_benches::bundle;
use corten_benches::process::{checked, timed};
use corten_benches::program::Program;
use corten_benches::view::View;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::time::Duration;

/// Of which the shortest counts: what other programs of the machine take is no part of it.
const ROUNDS: usize = 25;
const VERBS: [&str; 3] = ["list", "state", "ps"];
/// What is measured on a busy machine scatters.
const MOST_GROWTH: f64 = 2.6;

fn main() -> ExitCode {
    let mut arguments: Vec<String> = std::env::args().skip(1).collect();
    let assert = arguments.iter().any(|argument| argument == "--assert");
    arguments.retain(|argument| argument != "--assert");
    let count = arguments.first().map_or(Ok(1000), |text| text.parse());
    let ended = count.map_err(|_| "usage: many [COUNT] [--assert]".to_owned()).and_then(many);
    match ended {
        Ok(kept) if kept || !assert => ExitCode::SUCCESS,
        Ok(_) => ExitCode::FAILURE,
        Err(message) => {
            eprintln!("many: {message}");
            ExitCode::FAILURE
        }
    }
}

/// The shortest times of the three commands, by the verbs' order.
type Times = [Duration; 3];

fn many(count: usize) -> Result<bool> {
    let temporary = tempfile::Builder::new().prefix("corten-bench.").tempdir().map_err(|error| error.to_string())?;
    let bundles = bundle::prepare(temporary.path(), View::Unified)?;
    let directory = temporary.path();
    View::Unified.within(temporary.path(), || {
        let corten = Program::runtime("corten", corten()?, &bundles, directory);
        let runc = Program::runtime("runc", "runc", &bundles, directory);
        let corten = beside(&corten, directory, count);
        let runc = beside(&runc, directory, count);
        report(count, &corten?, &runc)
    })
}

fn corten() -> Result<PathBuf> {
    let this = std::env::current_exe().map_err(|error| format!("find this program: {error}"))?;
    let target = this.parent().and_then(Path::parent).ok_or("this program is not in a target directory")?;
    let corten = target.join("release/corten");
    if corten.exists() { Ok(corten) } else { Err(format!("{} is missing: cargo build --release", corten.display())) }
}

/// Creates the containers, measures at half of them and at all, and takes them away.
fn beside(program: &Program, directory: &Path, count: usize) -> Result<[Times; 2]> {
    let mut ids: Vec<String> = Vec::new();
    let measured = create_and_measure(program, directory, count, &mut ids);
    for id in &ids {
        let deleted = checked(program.delete(id));
        if let Err(message) = deleted {
            eprintln!("many: {message}");
        }
    }
    // runc gives up on a cgroup whose process is not quite gone.
    for id in &ids {
        let _ = std::fs::remove_dir(Path::new("/sys/fs/cgroup").join(id));
    }
    measured
}

fn create_and_measure(program: &Program, directory: &Path, count: usize, ids: &mut Vec<String>) -> Result<[Times; 2]> {
    let mut measured = [[Duration::ZERO; 3]; 2];
    for (times, goal) in measured.iter_mut().zip([count / 2, count]) {
        while ids.len() < goal {
            let id = corten_benches::lifecycle::fresh_id();
            ids.push(id.clone());
            checked(program.create(&id, &directory.join("pid")))?;
        }
        eprintln!("many: {} has {goal} containers", program.name);
        let of = ids.get(goal / 2).map_or("", String::as_str);
        for (time, verb) in times.iter_mut().zip(VERBS) {
            *time =
                shortest(|| if verb == "list" { program.verb(verb, &[]) } else { program.verb(verb, &[of.as_ref()]) })?;
        }
    }
    Ok(measured)
}

fn shortest(command: impl Fn() -> Command) -> Result<Duration> {
    let times = (0..ROUNDS).map(|_| timed(command())).collect::<Result<Vec<_>>>()?;
    times.into_iter().min().ok_or_else(|| "no rounds".to_owned())
}

fn report(count: usize, corten: &[Times; 2], runc: &Result<[Times; 2]>) -> Result<bool> {
    let mut kept = true;
    println!("beside {count} waiting containers, the shortest of {ROUNDS}:");
    for (place, verb) in VERBS.iter().enumerate() {
        let at =
            |times: &[Times; 2]| times.map(|times| times.get(place).copied().unwrap_or_default().as_secs_f64() * 1e3);
        let [half, all] = at(corten);
        let growth = all / half;
        // Where it does not grow, what scatters is the machine.
        kept &= verb != &"list" || growth <= MOST_GROWTH;
        match runc {
            Ok(runc) => {
                let [_, theirs] = at(runc);
                kept &= all <= theirs;
                println!(
                    "  {verb:5} corten {all:8.2} ms, {growth:4.2} x that of half; runc {theirs:8.2} ms: {:.2} x",
                    all / theirs
                );
            }
            Err(message) => println!("  {verb:5} corten {all:8.2} ms, {growth:4.2} x that of half; runc: {message}"),
        }
    }
    Ok(kept)
}
