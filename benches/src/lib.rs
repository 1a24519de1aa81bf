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
use std::process::Command;

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
