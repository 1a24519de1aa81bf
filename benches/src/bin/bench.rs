//! `bench [--rounds N] [--json] [--assert]`: compares corten with the floor, runc and crun.
//!
//! Builds corten and the floor program, prepares a bundle, and runs everything interleaved in two views of the cgroup
//! hierarchy: floor, corten and runc on what looks like a pure v2 host; corten and crun on what looks like a pure v1 host,
//! where alone Debian 12's crun runs on a hybrid one. Needs root. A program that fails is reported and left out. The
//! exit code is 0 unless `--assert` is given and a promise is not kept.

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a program's output to its user")]

use corten_benches::bundle::Bundles;
use corten_benches::lifecycle::{Waiting, system_calls, waiting};
use corten_benches::process::peak_rss;
use corten_benches::program::Program;
use corten_benches::rounds::{Times, interleave, interleave_exec, ratio};
use corten_benches::summary::Summary;
use corten_benches::target::{Limit, Target, Verdict};
use corten_benches::view::View;
use corten_benches::{Options, Result, build, bundle, lifecycle, release_directory};
use serde_json::{Value, json};
use std::path::Path;
use std::process::ExitCode;

/// How often memory is measured; the median counts.
const MEMORY_RUNS: usize = 5;

/// What was measured of one program in one view.
struct Measured {
    name: &'static str,
    times: Times,
    /// Of `exec` in a container that runs.
    exec: Times,
    /// In KiB.
    peak: Result<f64>,
    waiting: Option<Result<Waiting>>,
    calls: Option<Result<u64>>,
}

struct Report {
    view: View,
    programs: Vec<Measured>,
}

fn main() -> ExitCode {
    corten_benches::run("bench", bench)
}

fn bench(options: &Options) -> Result<ExitCode> {
    let release = release_directory()?;
    build("corten-benches", "floor")?;
    if let Err(message) = build("corten", "corten") {
        eprintln!("bench: {message}; going on without");
    }
    let temporary = tempfile::Builder::new().prefix("corten-bench.").tempdir().map_err(|error| error.to_string())?;
    let mut reports = Vec::new();
    for view in [View::Unified, View::Legacy] {
        eprintln!("bench: {} rounds on a pure {} host", options.rounds, view.name());
        let bundles = bundle::prepare(temporary.path(), view)?;
        match view.within(temporary.path(), || Ok(measure(view, &bundles, &release, temporary.path(), options.rounds)))
        {
            Ok(report) => reports.push(report),
            Err(message) => eprintln!("bench: {message}; going on without"),
        }
    }
    let size = std::fs::metadata(release.join("corten")).map(|metadata| metadata.len() as f64);
    let targets = targets(&reports, size.ok());
    if options.json {
        let views = reports.iter().map(|report| (report.view.name().to_owned(), report.json()));
        let targets: Vec<Value> = targets.iter().map(Target::json).collect();
        println!(
            "{:#}",
            json!({ "rounds": options.rounds, "views": Value::Object(views.collect()), "targets": targets })
        );
    } else {
        reports.iter().for_each(Report::print);
        println!("promises:");
        targets.iter().for_each(|target| println!("{}", target.line()));
    }
    let kept = targets.iter().all(|target| target.verdict() == Verdict::Pass);
    Ok(if options.assert && !kept { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

fn measure(view: View, bundles: &Bundles, release: &Path, directory: &Path, rounds: usize) -> Report {
    let corten = Program::runtime("corten", release.join("corten"), bundles, directory);
    let programs = match view {
        View::Unified => vec![
            Program::floor(release.join("floor"), bundles),
            corten,
            Program::runtime("runc", "runc", bundles, directory),
        ],
        View::Legacy => vec![corten, Program::runtime("crun", "crun", bundles, directory)],
    };
    let times = interleave(&programs, rounds);
    let exec = match bundle::waiting(directory, bundles) {
        Ok(bundle) => interleave_exec(&programs, &bundle, rounds),
        Err(message) => programs.iter().map(|_| Err(message.clone())).collect(),
    };
    let measured = programs.iter().zip(times.into_iter().zip(exec)).map(|(program, (times, exec))| {
        let runs = times.is_ok();
        let skipped = || "does not run".to_owned();
        Measured {
            name: program.name,
            times,
            exec,
            peak: if runs { peak(program) } else { Err(skipped()) },
            waiting: (runs && program.is_runtime()).then(|| median_waiting(program, directory)),
            calls: (runs && program.is_runtime()).then(|| system_calls(program, directory)),
        }
    });
    Report { view, programs: measured.collect() }
}

fn peak(program: &Program) -> Result<f64> {
    let mut sample = Vec::new();
    for _ in 0..MEMORY_RUNS {
        let id = lifecycle::fresh_id();
        let peak = peak_rss(program.run(&id)).inspect_err(|_| lifecycle::discard(program, &id))?;
        sample.push(peak as f64);
    }
    Ok(Summary::of(sample).map_or(f64::NAN, |summary| summary.median))
}

fn median_waiting(program: &Program, directory: &Path) -> Result<Waiting> {
    let mut sample = (0..MEMORY_RUNS).map(|_| waiting(program, directory)).collect::<Result<Vec<_>>>()?;
    sample.sort_by_key(|waiting| waiting.rss_kib);
    sample.get(MEMORY_RUNS / 2).copied().ok_or_else(|| "no measurement".to_owned())
}

/// The promises of the project, from the reports of the views and the size of corten in bytes.
fn targets(reports: &[Report], size: Option<f64>) -> [Target; 8] {
    let get = |view, name| reports.iter().find(|report| report.view == view).and_then(|report| report.program(name));
    let compare = |view, other| Some(ratio(&get(view, "corten")?.times, &get(view, other)?.times)?.median);
    let compare_exec = |view, other| Some(ratio(&get(view, "corten")?.exec, &get(view, other)?.exec)?.median);
    let waiting = |read: fn(&Waiting) -> u64| {
        let views = [View::Unified, View::Legacy].into_iter();
        let seen = views.filter_map(|view| get(view, "corten")?.waiting.as_ref()?.as_ref().ok().map(read));
        seen.max().map(|number| number as f64)
    };
    let peak = |name| get(View::Legacy, name)?.peak.as_ref().ok().copied();
    [
        Target { what: "run: corten / floor", limit: Limit::AtMost(1.5), measured: compare(View::Unified, "floor") },
        Target { what: "run: corten / crun", limit: Limit::AtMost(0.6), measured: compare(View::Legacy, "crun") },
        Target { what: "exec: corten / crun", limit: Limit::AtMost(0.6), measured: compare_exec(View::Legacy, "crun") },
        Target {
            what: "exec: corten / runc",
            limit: Limit::Below(Some(1.0)),
            measured: compare_exec(View::Unified, "runc"),
        },
        Target { what: "RSS of the waiting init, KiB", limit: Limit::AtMost(300.0), measured: waiting(|w| w.rss_kib) },
        Target {
            what: "size of the init, KiB",
            limit: Limit::AtMost(64.0),
            measured: waiting(|w| w.executable).map(|bytes| bytes / 1024.0),
        },
        Target {
            what: "size of corten, MiB",
            limit: Limit::AtMost(3.0),
            measured: size.map(|bytes| bytes / 1024.0 / 1024.0),
        },
        Target {
            what: "peak RSS of corten, KiB (crun's)",
            limit: Limit::Below(peak("crun")),
            measured: peak("corten"),
        },
    ]
}

impl Report {
    fn program(&self, name: &str) -> Option<&Measured> {
        self.programs.iter().find(|measured| measured.name == name)
    }

    /// The ratios of corten to each of the others.
    fn ratios(&self, of: fn(&Measured) -> &Times) -> impl Iterator<Item = (&'static str, Summary)> {
        let corten = self.program("corten");
        let others = self.programs.iter().filter(|other| other.name != "corten");
        others.filter_map(move |other| Some((other.name, ratio(of(corten?), of(other))?)))
    }

    fn print_exec(&self) {
        println!("  {:<8}{:>9}{:>9}{:>9} ms", "exec", "min", "median", "p90");
        for measured in self.programs.iter().filter(|measured| measured.name != "floor") {
            match &measured.exec {
                Ok(times) => {
                    let Some(Summary { min, median, p90 }) = Summary::of(times.clone()) else { continue };
                    println!("  {:<8}{min:>9.2}{median:>9.2}{p90:>9.2}", measured.name);
                }
                Err(message) => println!("  {:<8}{message}", measured.name),
            }
        }
        for (other, Summary { min, median, p90 }) in self.ratios(|measured| &measured.exec) {
            println!("  corten / {other}: median {median:.2}, min {min:.2}, p90 {p90:.2}");
        }
    }

    fn print(&self) {
        println!("pure {}:", self.view.name());
        println!(
            "  {:<8}{:>9}{:>9}{:>9} ms{:>12}{:>14}{:>14}{:>9}",
            "run", "min", "median", "p90", "peak RSS", "waiting RSS", "its program", "calls"
        );
        for measured in &self.programs {
            let summary = measured.times.as_ref().ok().and_then(|times| Summary::of(times.clone()));
            let Some(Summary { min, median, p90 }) = summary else {
                println!("  {:<8}{}", measured.name, measured.times.as_ref().err().map_or("no rounds", |m| m));
                continue;
            };
            let waiting = measured.waiting.as_ref().and_then(|waiting| waiting.as_ref().ok());
            println!(
                "  {:<8}{min:>9.2}{median:>9.2}{p90:>9.2}   {:>12}{:>14}{:>14}{:>9}",
                measured.name,
                cell(measured.peak.as_ref().ok().map(|kib| format!("{kib} KiB"))),
                cell(waiting.map(|waiting| format!("{} KiB", waiting.rss_kib))),
                cell(waiting.map(|waiting| format!("{} KiB", waiting.executable.div_ceil(1024)))),
                cell(measured.calls.as_ref().and_then(|calls| calls.as_ref().ok()).map(u64::to_string)),
            );
            for message in measured.failures() {
                println!("          {message}");
            }
        }
        for (other, Summary { min, median, p90 }) in self.ratios(|measured| &measured.times) {
            println!("  corten / {other}: median {median:.2}, min {min:.2}, p90 {p90:.2}");
        }
        self.print_exec();
    }

    fn json(&self) -> Value {
        let programs = self.programs.iter().map(|measured| (measured.name.to_owned(), measured.json()));
        let named = |(other, ratio): (&str, Summary)| (format!("corten/{other}"), ratio.json());
        let ratios = self.ratios(|measured| &measured.times).map(named);
        let exec = self.ratios(|measured| &measured.exec).map(named);
        json!({
            "programs": Value::Object(programs.collect()),
            "ratios": Value::Object(ratios.collect()),
            "exec_ratios": Value::Object(exec.collect()),
        })
    }
}

impl Measured {
    /// Why a number beside the times is missing.
    fn failures(&self) -> Vec<&str> {
        let waiting = self.waiting.as_ref().and_then(|waiting| waiting.as_ref().err());
        let calls = self.calls.as_ref().and_then(|calls| calls.as_ref().err());
        [self.peak.as_ref().err(), waiting, calls].into_iter().flatten().map(String::as_str).collect()
    }

    fn json(&self) -> Value {
        let summary = self.times.as_ref().ok().and_then(|times| Summary::of(times.clone()));
        let waiting = self.waiting.as_ref().and_then(|waiting| waiting.as_ref().ok());
        json!({
            "error": self.times.as_ref().err(),
            "incomplete": self.failures(),
            "run_ms": summary.map(|summary| summary.json()),
            "exec_ms": self.exec.as_ref().ok().and_then(|times| Summary::of(times.clone())).map(|summary| summary.json()),
            "peak_rss_kib": self.peak.as_ref().ok(),
            "waiting_rss_kib": waiting.map(|waiting| waiting.rss_kib),
            "waiting_executable_bytes": waiting.map(|waiting| waiting.executable),
            "create_start_system_calls": self.calls.as_ref().and_then(|calls| calls.as_ref().ok()),
        })
    }
}

fn cell(text: Option<String>) -> String {
    text.unwrap_or_else(|| "-".to_owned())
}
