//! What the `bench` program is made of: it compares whole runs of runtimes with each other and with the `floor` program,
//! in ratios, since absolute times say more about the machine than about a runtime.

pub mod bundle;
pub mod lifecycle;
pub mod mix;
pub mod process;
pub mod program;
pub mod rounds;
pub mod summary;
pub mod target;
pub mod view;

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

/// A `Result` whose error is the message for the user.
pub type Result<T = ()> = std::result::Result<T, String>;

/// Where cargo puts release builds: beside the directory of this program, whatever its profile.
///
/// # Errors
/// This program is not where cargo puts programs.
pub fn release_directory() -> Result<PathBuf> {
    let this = std::env::current_exe().map_err(|error| format!("find this program: {error}"))?;
    let target = this.parent().and_then(Path::parent).ok_or("this program is not in a target directory")?;
    Ok(target.join("release"))
}

/// Builds a program of the workspace for measuring.
///
/// # Errors
/// It cannot be built.
pub fn build(package: &str, program: &str) -> Result {
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.args(["build", "--quiet", "--release", "--package", package, "--bin", program]);
    let status = cargo.current_dir(env!("CARGO_MANIFEST_DIR")).status();
    match status.map_err(|error| format!("cargo build: {error}"))?.success() {
        true => Ok(()),
        false => Err(format!("cargo build --release --package {package} failed")),
    }
}

/// What the programs that compare in rounds are told: `[--rounds N] [--json] [--assert]`.
pub struct Options {
    /// How many rounds, above 0.
    pub rounds: usize,
    /// The report is JSON.
    pub json: bool,
    /// A promise that is not kept is a failure.
    pub assert: bool,
}

impl Options {
    fn read(name: &str) -> Result<Options> {
        let mut options = Options { rounds: 100, json: false, assert: false };
        let mut arguments = std::env::args().skip(1);
        while let Some(argument) = arguments.next() {
            match argument.as_str() {
                "--json" => options.json = true,
                "--assert" => options.assert = true,
                "--rounds" => {
                    let rounds = arguments.next().and_then(|number| number.parse().ok()).filter(|number| *number > 0);
                    options.rounds = rounds.ok_or("--rounds takes a number above 0")?;
                }
                _ => {
                    return Err(format!("unknown argument {argument}; usage: {name} [--rounds N] [--json] [--assert]"));
                }
            }
        }
        Ok(options)
    }
}

/// The whole of such a program, which is root and adopts what its containers leave.
#[allow(clippy::print_stderr, reason = "a program's output to its user")]
pub fn run(name: &str, bench: impl FnOnce(&Options) -> Result<ExitCode>) -> ExitCode {
    let ended = Options::read(name).and_then(|options| {
        if !nix::unistd::geteuid().is_root() {
            return Err("needs root".to_owned());
        }
        nix::sys::prctl::set_child_subreaper(true).map_err(|errno| format!("become subreaper: {}", errno.desc()))?;
        bench(&options)
    });
    ended.unwrap_or_else(|message| {
        eprintln!("{name}: {message}");
        ExitCode::FAILURE
    })
}
