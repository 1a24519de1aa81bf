//! `seccomp [--rounds N] [--json] [--assert]`: the seccomp compiler beside libseccomp, and what a profile costs a container.
//!
//! On the profile that Podman gives every container: how long corten's compiler and libseccomp (its list and its binary tree)
//! take for it, one after the other in every round; how many instructions their programs execute for a verdict, over
//! every system call of the machine's three ABIs; and `run` of a bundle with the profile beside the same without, in
//! turns, as differences within a round. Needs root and, to be built, libseccomp (`--features libseccomp`).

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a program's output to its user")]

use corten_benches::bundle::{self, Bundles};
use corten_benches::program::Program;
use corten_benches::rounds::{Times, difference, interleave};
use corten_benches::summary::Summary;
use corten_benches::target::{Limit, Target, Verdict};
use corten_benches::view::View;
use corten_benches::{Options, Result, build, release_directory};
use libcorten::seccomp::machine::{Call, run};
use libcorten::seccomp::{Arch, Backend, Insn, compile_with};
use serde_json::{Value, json};
use std::path::Path;
use std::process::ExitCode;
use std::time::Instant;

/// `linux.seccomp` as Podman 4.3 writes it for its default capabilities.
const PROFILE: &str = include_str!("../../../runtime-lib/src/seccomp/tests/data/podman.json");

/// What compiles the profile.
const BACKENDS: [(&str, Backend); 3] = [
    ("corten", Backend::Own),
    ("libseccomp, list", Backend::Libseccomp { tree: false }),
    ("libseccomp, binary tree", Backend::Libseccomp { tree: true }),
];

/// A compiler's time in microseconds, and its program's cost.
struct Compiled {
    name: &'static str,
    time: Summary,
    instructions: usize,
    mean: f64,
    worst: usize,
}

fn main() -> ExitCode {
    corten_benches::run("seccomp", bench)
}

fn bench(options: &Options) -> Result<ExitCode> {
    build("corten", "corten")?;
    let compiled = compilers(options.rounds)?;
    let temporary = tempfile::Builder::new().prefix("corten-bench.").tempdir().map_err(|error| error.to_string())?;
    let release = release_directory()?;
    let costs =
        View::Unified.within(temporary.path(), || runs(&release.join("corten"), temporary.path(), options.rounds))?;
    let targets = targets(&compiled, costs.first());
    if options.json {
        println!("{:#}", report(options.rounds, &compiled, &costs, &targets));
    } else {
        print(&compiled, &costs);
        println!("promises:");
        targets.iter().for_each(|target| println!("{}", target.line()));
    }
    let kept = targets.iter().all(|target| target.verdict() == Verdict::Pass);
    Ok(if options.assert && !kept { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

/// All take one turn per round, so that the machine is the same for all.
fn compilers(rounds: usize) -> Result<Vec<Compiled>> {
    let section = serde_json::from_str(PROFILE).map_err(|error| format!("read the profile: {error}"))?;
    let mut times = BACKENDS.map(|_| Vec::with_capacity(rounds));
    let mut programs = BACKENDS.map(|_| Vec::new());
    for _ in 0..=rounds {
        for (((_, backend), times), program) in BACKENDS.iter().zip(&mut times).zip(&mut programs) {
            let begin = Instant::now();
            let filter = compile_with(&section, Arch::X86_64, *backend).map_err(|error| format!("{error:#}"))?;
            times.push(begin.elapsed().as_secs_f64() * 1e6);
            *program = filter.program;
        }
    }
    let compiled = BACKENDS.iter().zip(times).zip(&programs).map(|(((name, _), mut times), program)| {
        // The first warms up.
        times.remove(0);
        let time = Summary::of(times).ok_or("no rounds")?;
        let (mean, worst) = cost(program)?;
        Ok(Compiled { name, time, instructions: program.len(), mean, worst })
    });
    compiled.collect()
}

/// Instructions per verdict, over every call of x86_64, x86 and x32 with arguments at the edges of the profile's rules.
fn cost(program: &[Insn]) -> Result<(f64, usize)> {
    const EDGES: [u64; 11] = [0, 1, 2, 8, 9, 16, 0x20000, 0x20008, 0xffff_ffff, 1 << 32, u64::MAX];
    let (mut all, mut count, mut worst) = (0, 0, 0);
    for arch in [Arch::X86_64, Arch::X86, Arch::X32] {
        for (name, number) in arch.calls() {
            for edge in EDGES {
                let call = Call { arch, number, args: [edge; 6] };
                let (_, steps) = run(program, &call).ok_or_else(|| format!("{name}: the program does not answer"))?;
                (all, count, worst) = (all + steps, count + 1, worst.max(steps));
            }
        }
    }
    Ok((all as f64 / f64::from(count), worst))
}

/// What the profile adds to `run`, in milliseconds, of corten and runc.
struct Cost {
    name: &'static str,
    without: Times,
    with: Times,
    added: Option<Summary>,
}

fn runs(corten: &Path, directory: &Path, rounds: usize) -> Result<Vec<Cost>> {
    let prepare = |name: &str| -> Result<Bundles> {
        let directory = directory.join(name);
        std::fs::create_dir_all(&directory).map_err(|error| error.to_string())?;
        bundle::prepare(&directory, View::Unified)
    };
    let (without, with) = (prepare("without")?, prepare("with")?);
    let profile: Value = serde_json::from_str(PROFILE).map_err(|error| error.to_string())?;
    with.set("/linux", "seccomp", &profile)?;
    let runc = Path::new("runc");
    let programs = [
        Program::runtime("corten", corten, &without, directory),
        Program::runtime("corten, profile", corten, &with, directory),
        Program::runtime("runc", runc, &without, directory),
        Program::runtime("runc, profile", runc, &with, directory),
    ];
    // The two of a runtime are compared: each pair takes its turns apart from the other's.
    let mut costs = Vec::new();
    for (name, pair) in ["corten", "runc"].into_iter().zip(programs.chunks(2)) {
        eprintln!("seccomp: {rounds} rounds of {name} run, without and with the profile");
        let mut times = interleave(pair, rounds).into_iter();
        let (Some(without), Some(with)) = (times.next(), times.next()) else { continue };
        let added = difference(&with, &without);
        costs.push(Cost { name, without, with, added });
    }
    Ok(costs)
}

fn targets(compiled: &[Compiled], corten: Option<&Cost>) -> [Target; 5] {
    let of = |name| compiled.iter().find(|compiled| compiled.name == name);
    let ours = of("corten");
    let others = || compiled.iter().filter(|compiled| compiled.name != "corten");
    let ratio = ours.zip(of("libseccomp, list")).map(|(ours, list)| 30.0 * ours.time.median / list.time.median);
    [
        Target { what: "compile: 30 x corten / libseccomp", limit: Limit::AtMost(1.0), measured: ratio },
        Target { what: "compile, us", limit: Limit::AtMost(300.0), measured: ours.map(|ours| ours.time.median) },
        Target {
            what: "instructions per verdict, mean",
            limit: Limit::Below(others().map(|other| other.mean).reduce(f64::min)),
            measured: ours.map(|ours| ours.mean),
        },
        Target {
            what: "instructions per verdict, worst",
            limit: Limit::Below(others().map(|other| other.worst as f64).reduce(f64::min)),
            measured: ours.map(|ours| ours.worst as f64),
        },
        Target {
            what: "run: added by the profile, ms",
            limit: Limit::AtMost(0.5),
            measured: corten.and_then(|cost| cost.added).map(|added| added.median),
        },
    ]
}

fn print(compiled: &[Compiled], costs: &[Cost]) {
    println!(
        "{:<26}{:>10}{:>10}{:>10} us{:>14}{:>8}{:>8}",
        "compile", "min", "median", "p90", "instructions", "mean", "worst"
    );
    for Compiled { name, time: Summary { min, median, p90 }, instructions, mean, worst } in compiled {
        println!("  {name:<24}{min:>10.0}{median:>10.0}{p90:>10.0}   {instructions:>14}{mean:>8.1}{worst:>8}");
    }
    println!("{:<26}{:>10}{:>10}{:>10} ms", "run", "min", "median", "p90");
    for cost in costs {
        for (what, times) in [("without", &cost.without), ("with the profile", &cost.with)] {
            match times.as_ref().map(|times| Summary::of(times.clone())) {
                Ok(Some(Summary { min, median, p90 })) => {
                    println!("  {:<24}{min:>10.2}{median:>10.2}{p90:>10.2}", format!("{} {what}", cost.name));
                }
                Ok(None) => {}
                Err(message) => println!("  {} {what}: {message}", cost.name),
            }
        }
        if let Some(Summary { min, median, p90 }) = cost.added {
            println!("  {:<24}{min:>10.2}{median:>10.2}{p90:>10.2}", format!("{} difference", cost.name));
        }
    }
}

fn report(rounds: usize, compiled: &[Compiled], costs: &[Cost], targets: &[Target]) -> Value {
    let compiled = compiled.iter().map(|compiled| {
        let Compiled { name, time, instructions, mean, worst } = compiled;
        json!({ "by": name, "us": time.json(), "instructions": instructions, "mean": mean, "worst": worst })
    });
    let costs = costs.iter().map(|cost| json!({ "run": cost.name, "added_ms": cost.added.map(|added| added.json()) }));
    json!({
        "rounds": rounds,
        "compile": compiled.collect::<Vec<_>>(),
        "runs": costs.collect::<Vec<_>>(),
        "targets": targets.iter().map(Target::json).collect::<Vec<_>>(),
    })
}
