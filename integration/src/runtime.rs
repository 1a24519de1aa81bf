//! The program under test.

use std::path::PathBuf;

/// A runtime with runc's command line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Runtime {
    /// This project's.
    Corten,
    /// The reference.
    Runc,
    /// The one in C.
    Crun,
}

impl Runtime {
    /// The runtime that `RUNTIME` names, [`Runtime::Corten`] by default.
    ///
    /// # Panics
    /// When `RUNTIME` names none.
    pub fn from_environment() -> Runtime {
        match std::env::var("RUNTIME").as_deref() {
            Err(_) | Ok("" | "corten") => Runtime::Corten,
            Ok("runc") => Runtime::Runc,
            Ok("crun") => Runtime::Crun,
            Ok(other) => panic!("RUNTIME={other}: expected corten, runc or crun"),
        }
    }

    /// The name of its command.
    pub fn name(self) -> &'static str {
        match self {
            Runtime::Corten => "corten",
            Runtime::Runc => "runc",
            Runtime::Crun => "crun",
        }
    }

    /// What to execute: a path for corten, a name to be found through `PATH` for the others.
    ///
    /// # Panics
    /// When corten has not been built.
    pub fn program(self) -> PathBuf {
        if self != Runtime::Corten {
            return PathBuf::from(self.name());
        }
        if let Some(path) = std::env::var_os("CORTEN") {
            return std::path::absolute(path).unwrap();
        }
        built("corten")
    }

    /// The words to execute it by: without the system calls that `MISSING` names, for corten.
    pub(crate) fn command(self) -> Vec<PathBuf> {
        let missing = std::env::var("MISSING").ok().filter(|_| self == Runtime::Corten);
        let mut words = missing.map(|calls| without(&calls, libc::ENOSYS)).unwrap_or_default();
        words.push(self.program());
        words
    }
}

/// What runs a program to which system calls (`mount_setattr,openat2`) fail with the error.
pub(crate) fn without(calls: &str, errno: i32) -> Vec<PathBuf> {
    vec![built("faults"), "--without".into(), calls.into(), errno.to_string().into()]
}

/// A program of this workspace: the test is target/PROFILE/deps/NAME-HASH.
fn built(name: &str) -> PathBuf {
    let test = std::env::current_exe().unwrap();
    let program = test.ancestors().nth(2).unwrap().join(name);
    assert!(program.exists(), "{} is missing: run `cargo build --workspace` first", program.display());
    program
}
